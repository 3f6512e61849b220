"""From a record to the pod itself: its address, its host key, the agent, the synchronisation."""
