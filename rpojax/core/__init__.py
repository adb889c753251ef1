"""The algorithm. `train` is the file to read first, `perturbation` is what RPO adds to PPO.

```text
each update:
    collect T steps in B environments:
        z ~ U(-alpha, alpha)^A,  a ~ N(mean + z, std),  log_prob of a under mean + z
    values in one batched pass; GAE, which bootstraps from V(final observation) at truncations
    repeat update_epochs times, on a fresh permutation of the samples in num_minibatches parts:
        z ~ U(-alpha, alpha)^A, fresh for each sample
        ratio = exp(log N(a; mean + z, std) - log_prob)
        loss = clipped surrogate(ratio, advantage) + vf_coef * value loss - ent_coef * entropy
        one step of Adam, gradient clipped by its global norm
    merge the rollout into the observations' running mean and variance
        (before the first update, after all later ones)
```

`alpha=0` is PPO. `perturb_rollouts=False` leaves `z` out while collecting, as in Algorithm 1 of the
paper (arXiv 2212.07536) and in CleanRL.

The perturbation, the surrogate, the optimiser and the distribution are settings: `perturbation`,
`surrogate`, `optimizer` and `NetworkConfig.distribution`.

Where CleanRL, Gymnasium, Brax and skrl do something else:

* Advantages are divided by the standard deviation of the population. CleanRL takes that of the
  sample, which is sqrt(N / (N - 1)) larger.
* The running return, which gives the scale of rewards, is cleared where an episode ends, terminated
  or truncated. Gymnasium clears it at terminations only: on Pendulum, its scaled rewards are 1.5
  times ours.
* Rewards of a rollout are scaled by the statistics at its end. Gymnasium takes those up to each
  step.
* Observations of the first rollout are collected unscaled, and scaled by the statistics at its end
  in its update. Gymnasium scales by the statistics up to each step.
* In the statistics, samples are clipped to 1000 standard deviations (each at least 1) around the
  mean so far: simulations that diverge give 1e8 before they give NaN. In Gymnasium, one such
  observation among millions scales all later ones to 0.
* Advantages are those of GAE, delta + gamma * lambda * A(t + 1). Brax's are r + gamma * vs(t + 1) -
  V, with the targets vs of GAE: without lambda on the first step.
* A rollout is merged into the statistics of observations after the gradient steps on it. Brax
  merges it before them.
* With `normalize_values`, the scale of values is that of the targets. skrl trains its scaler on the
  values and on the returns.
* Losses in the metrics are means over all minibatches of an update. CleanRL logs the last
  minibatch.
* A log-ratio is bounded by 20, so that `exp` cannot overflow. CleanRL's is NaN or infinite from 88
  on.
* `log_std` beyond its bounds is clipped, and gradients that lead back inside pass. CleanRL has no
  bounds.

An episode that a time limit truncates bootstraps from the value of its final observation; with
`time_limit_bootstrap=False` it counts as terminated, as in CleanRL. Such an agent learns that
states near a limit it cannot observe have no future value.

The KL for an early stop and for the adaptive learning rate is that of the unperturbed policies.
Where it is estimated from the perturbed ratio, the perturbation alone adds about `alpha^2 / (6
std^2)` for each dimension of the action, and twice that where rollouts are perturbed too (0.25 and
0.5 for six dimensions at alpha 0.5 and std 1), so that a threshold on it is reached at once. The
metrics have both: `kl` and `kl_perturbed`.
"""
