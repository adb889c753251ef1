"""The sizes of a run that follow from its settings, and which sizes fit each other."""

import math
from typing import Any

from rpojax.validation import nearest_divisor, show

MOST = 2**31 - 1
"""Updates, the samples and gradient steps of each, and steps of episodes are counted in int32."""


class RunSizes:
    """A base of `Config`: sizes derived from its fields, and their checks."""

    total_timesteps: int
    num_envs: int
    num_steps: int
    update_epochs: int
    num_minibatches: int
    advantage_horizon: int | None
    sequence_length: int | None
    random_timesteps: int
    learning_starts: int
    critic_warmup: int
    advantage_normalization: str
    reward_shaper: Any
    devices_per_agent: int

    @property
    def batch_size(self) -> int:
        """Environment steps in one update, num_envs * num_steps."""
        return self.num_envs * self.num_steps

    @property
    def minibatch_size(self) -> int:
        """Samples in one gradient step."""
        return self.batch_size // self.num_minibatches

    @property
    def envs_per_device(self) -> int:
        """Environments on each of the devices that share an agent."""
        return self.num_envs // self.devices_per_agent

    @property
    def num_updates(self) -> int:
        """Updates in the run: as many whole ones as fit into total_timesteps."""
        return self.total_timesteps // self.batch_size

    @property
    def actual_timesteps(self) -> int:
        """Environment steps that will really run, num_updates * batch_size."""
        return self.num_updates * self.batch_size

    @property
    def steps_per_sequence(self) -> int:
        """L, the steps through which a recurrent network's gradient flows back."""
        return self.sequence_length or self.num_steps

    def check_sizes(self) -> None:
        """Raise ValueError where the sizes do not fit each other, or into int32."""
        if self.batch_size > MOST:
            raise ValueError(
                f"{self._product()} is more than {MOST} steps in one update; give smaller "
                "num_envs or num_steps"
            )
        if self.advantage_horizon is not None and self.num_steps % self.advantage_horizon:
            raise ValueError(
                f"num_steps = {self.num_steps} is not divisible by advantage_horizon = "
                f"{show(self.advantage_horizon)}; the nearest that divides it is "
                f"advantage_horizon = {nearest_divisor(self.num_steps, self.advantage_horizon)}"
            )
        if self.batch_size % self.num_minibatches:
            nearest = nearest_divisor(self.batch_size, self.num_minibatches)
            raise ValueError(
                f"{self._product()} is not divisible by num_minibatches = "
                f"{show(self.num_minibatches)}; the nearest that divides it is "
                f"num_minibatches = {nearest}"
            )
        if self.total_timesteps < self.batch_size:
            raise ValueError(
                f"total_timesteps = {self.total_timesteps} is less than one update, "
                f"{self._product()}; give total_timesteps of at least {self.batch_size}, or "
                "smaller num_envs or num_steps"
            )
        if self.num_updates > MOST:
            raise ValueError(
                f"total_timesteps = {show(self.total_timesteps)} is more than {MOST} updates of "
                f"{self._product()} steps; give at most {MOST * self.batch_size}, or larger "
                "num_envs or num_steps"
            )
        if self.update_epochs * self.num_minibatches > MOST:
            raise ValueError(
                f"update_epochs = {show(self.update_epochs)} with num_minibatches = "
                f"{self.num_minibatches} is more than {MOST} gradient steps in one update; "
                f"give at most {MOST // self.num_minibatches}"
            )
        if self.reward_shaper is not None and self.num_updates * self.num_steps > MOST:
            most = MOST // self.num_steps * self.batch_size
            raise ValueError(
                f"total_timesteps = {self.total_timesteps} is more than {MOST} timesteps in each "
                f"environment, which a reward_shaper counts in int32; give at most {most}, or "
                "reward_shaper = None"
            )
        samples = {"minibatch": self.minibatch_size, "batch": self.batch_size, "none": None}
        if samples[self.advantage_normalization] == 1:
            remedy = "larger num_envs or num_steps"
            if self.batch_size > 1:
                remedy = f"num_minibatches of at most {self.batch_size // 2}"
            raise ValueError(
                f"num_minibatches = {self.num_minibatches} with {self._product()} leaves one "
                f"sample in each {self.advantage_normalization}, whose normalised advantage is "
                f"always 0; give {remedy}, or advantage_normalization = 'none'"
            )
        for name in ("random_timesteps", "learning_starts", "critic_warmup"):
            value = getattr(self, name)
            if value % self.batch_size:
                below = value // self.batch_size * self.batch_size
                raise ValueError(
                    f"{name} = {show(value)} is not a whole number of rollouts of "
                    f"{self._product()}; give {show(below)} or {show(below + self.batch_size)}"
                )
        first = (self.random_timesteps, self.learning_starts, self.critic_warmup)
        if max(first) >= self.actual_timesteps:
            raise ValueError(
                f"random_timesteps = {show(first[0])}, learning_starts = {show(first[1])} and "
                f"critic_warmup = {show(first[2])} leave nothing of the run's "
                f"{self.actual_timesteps} steps to learn from; give a larger total_timesteps"
            )

    def check_sequences(self, recurrent: bool) -> None:
        """Raise ValueError where sequences do not fit the network or the minibatches."""
        if not recurrent:
            if self.sequence_length is not None:
                raise ValueError(
                    f"sequence_length = {show(self.sequence_length)} is for recurrent networks, "
                    "and this one has no memory; leave it None, or give NetworkConfig a cell"
                )
            self._check_shares("samples in a minibatch", self.minibatch_size)
            return
        length = self.steps_per_sequence
        if self.num_steps % length:
            raise ValueError(
                f"num_steps = {self.num_steps} is not divisible by sequence_length = "
                f"{show(length)}; the nearest that divides it is "
                f"{nearest_divisor(self.num_steps, length)}"
            )
        sequences = self.batch_size // length
        if sequences % self.num_minibatches:
            nearest = nearest_divisor(sequences, self.num_minibatches)
            raise ValueError(
                f"num_envs * num_steps / sequence_length = {self.num_envs} * {self.num_steps} / "
                f"{length} = {sequences} sequences are not divisible by num_minibatches = "
                f"{self.num_minibatches}; the nearest that divides them is num_minibatches = "
                f"{nearest}"
            )
        self._check_shares("sequences in a minibatch", sequences // self.num_minibatches)

    def _check_shares(self, what: str, count: int) -> None:
        """Raise ValueError unless the devices of an agent can have equal shares."""
        for name, number in (("num_envs", self.num_envs), (what, count)):
            if number % self.devices_per_agent:
                fitting = math.gcd(count, self.num_envs)
                raise ValueError(
                    f"devices_per_agent = {show(self.devices_per_agent)} does not divide {name}, "
                    f"{number}; the nearest that fits is devices_per_agent = "
                    f"{nearest_divisor(fitting, self.devices_per_agent)}, or give other num_envs, "
                    "num_steps or num_minibatches"
                )

    def _product(self) -> str:
        factors = f"{show(self.num_envs)} * {show(self.num_steps)}"
        return f"num_envs * num_steps = {factors} = {show(self.batch_size)}"
