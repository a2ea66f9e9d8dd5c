"""The process: forks, event loops, interrupts, what is installed, where the catalogue is."""
