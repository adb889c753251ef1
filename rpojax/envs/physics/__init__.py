"""The adapters for environments with rigid-body physics: Brax, MJX and MuJoCo Playground.

**What a training on MJX compiles.** One step, whose substeps are a loop over one; two resets, of
the first episodes and of all later ones, which in Gymnasium's tasks compute kinematics alone; and
the update, as for any environment. In seconds of a core, with tracing (`python -m
benchmarks.engines --compile` compares `train` and the step):

| | step | a reset | update | `train` | `train` / step |
|---|---|---|---|---|---|
| HalfCheetah | 17.7 | 2.2 | 7.9 | | 1.7 |
| Humanoid | 67 | 10 | 7.9 | 111 | 1.65 |

The two resets and the update are what stands above the step. On MuJoCo's C engine none of the
physics is compiled.
"""
