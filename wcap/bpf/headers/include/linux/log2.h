/* bcc includes this for its own logarithms' sake; nothing of it is used. */
