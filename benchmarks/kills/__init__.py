"""What a killed worker costs: until its shard is taken up again, and that a healthy one is not."""
