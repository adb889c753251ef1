"""What an environment must fulfil, and the test of it."""
