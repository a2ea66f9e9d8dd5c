"""Commands about what agents are good at: `skills`, `feedback`, `judgements`."""
