"""Push messages: a page that signs itself on, its service worker, and a back end that sends."""
