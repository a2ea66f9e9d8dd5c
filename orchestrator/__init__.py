"""Agent orchestration as routing: a cost-weighted tool graph that heals itself and explains every decision."""
