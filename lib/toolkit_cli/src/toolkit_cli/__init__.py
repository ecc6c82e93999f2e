"""The newcomer's commands: up, demo, status, open, env, pack, down, test, doctor."""
