"""Commands for several processes on one store: queue, workers, service, maintenance."""
