"""What leaves for other people's tools: files for other runtimes, the Hub, trackers."""
