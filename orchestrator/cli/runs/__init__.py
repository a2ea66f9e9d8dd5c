"""Commands about recorded runs: `runs`, `why`, `verify`, `replay`, `report`, `resume`."""
