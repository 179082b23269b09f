/** A module that does nothing: what Node takes for any. */

export {};
