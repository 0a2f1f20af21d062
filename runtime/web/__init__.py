"""The browser view: a page with the live picture and the stream's desk, for one machine or a few.

    pipeline --Board.publish--> Board --/frame, /live.mjpg--> browsers --/api/...--> Control

Nothing a browser does reaches the pipeline but through `Control`: pictures are encoded by the
server's own threads, for those who ask, when they ask. What is defended: docs/security.md.
"""
