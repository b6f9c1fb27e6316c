"""What composes the other rooms: training, from a plan to a network."""
