/** Who is at the other end. */

/**
 * A process and its user. Facts: what names nobody (see `assembly/credentials.ts`) is `null` in its place, never a user.
 */
export interface Credentials {
  /** Null where the system sends no pid. */
  readonly pid: number | null;
  /** Effective user id where the system tells real and effective apart. */
  readonly uid: number;
  /** Effective group id, likewise. */
  readonly gid: number;
}
