"""RunPod's GraphQL API, as far as REST v2 has no words for it: spot pods, starts without a GPU, the balance."""
