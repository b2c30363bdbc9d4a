"""The queue, the page of a request and the pages of repos."""
