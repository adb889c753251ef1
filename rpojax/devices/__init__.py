"""Where agents are computed: devices, their memory, and the processes that share a training."""
