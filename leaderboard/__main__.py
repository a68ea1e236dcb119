"""`python -m leaderboard`: the service with the settings of the environment."""

from leaderboard.serve import serve

if __name__ == "__main__":
    serve()
