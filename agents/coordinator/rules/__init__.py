"""The rules of the lifecycle: pure, `decide(world, inputs, now) -> (world', outputs)`."""
