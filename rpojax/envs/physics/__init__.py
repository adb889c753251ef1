"""The adapters for environments with rigid-body physics: Brax, MJX and MuJoCo Playground.

**What a training on MJX compiles.** One step, whose substeps are a loop over one; two resets, of
the first episodes and of all later ones, which in Gymnasium's tasks compute kinematics alone; and
the update, as for any environment. On HalfCheetah these are 17.7, 2 x 2.2 and 7.9 seconds of a
core, so that `train` takes 1.7 times as long to compile as one jitted step (`python -m
benchmarks.engines --compile`). What lies beyond the step is mostly the update, which does not grow
with the robot. On MuJoCo's C engine none of the physics is compiled.
"""
