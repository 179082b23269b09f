/** A module that does nothing: the time that Node takes for any module. */

export {};
