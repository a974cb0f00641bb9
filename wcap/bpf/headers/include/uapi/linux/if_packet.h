/* bcc brings its own copy of this header; a program needs nothing more of it. */
