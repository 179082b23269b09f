/** Versions of kernels, where a number or a rule of the ABI table depends on them. */

/** Major and minor number. The third, of a point release, decides nothing here. */
export type Version = readonly [major: number, minor: number];

/** The version in a release of uname(2), such as `6.1.0-18-amd64`, or in a column of the table; null: none is. */
export function versionOf(release: string): Version | null {
  const [, major, minor] = /^(\d{1,4})\.(\d{1,4})(?![0-9])/.exec(release) ?? [];
  return major === undefined ? null : [Number(major), Number(minor)];
}

/** Whether a version is older than another. */
export function isOlder([major, minor]: Version, [otherMajor, otherMinor]: Version): boolean {
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

/** Whether a kernel lacks what a column `since` has for a name. */
export function lacks(since: Readonly<Record<string, string>>, name: string, version: Version): boolean {
  return Object.hasOwn(since, name) && isOlder(version, versionOf(since[name]!)!);
}
