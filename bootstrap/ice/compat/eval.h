/* Python 3.11 no longer installs eval.h; nothing declared there is used. */
