"""What ``doctor`` looks at, and the fix."""
