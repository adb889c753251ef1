"""What people see of a run: learning curves, tables, a progress bar."""
