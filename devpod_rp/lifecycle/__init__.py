"""The verbs as plain functions: up, stop, delete, check, rescue, recover. They report through progress events."""
