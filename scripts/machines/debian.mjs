// Packages of any Debian suite and architecture, without a change to this machine: downloaded by apt with state of its own, unpacked
// below build/machines/, no script of theirs run.

import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";

const SOURCES = "/etc/apt/sources.list.d/debian.sources";
/** Below this folder is what takes long to make again: state of apt, packages, root file systems, kernels. */
export const FOLDER = resolve("build", "machines");

/** What a lane cannot get on this machine, as `Tally.missing` says it. */
export class Missing extends Error {}

function execute(command, args, options = {}) {
  try {
    return execFileSync(command, args, {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    });
  } catch (error) {
    const said = `${error.stderr ?? ""}${error.message}`.trim().split("\n").slice(-3).join(" ");
    throw new Missing(`${command} ${args.find((arg) => !arg.startsWith("-") && !arg.includes("::")) ?? ""}: ${said}`);
  }
}

/** The path of the kernel in unpacked packages: in /boot, or beside its modules. */
function kernelIn(folder) {
  const modules = join(folder, "lib", "modules");
  for (const place of [join(folder, "boot"), ...readdirSync(modules).map((version) => join(modules, version))]) {
    const name = existsSync(place) && readdirSync(place).find((file) => /^vmlinu[xz](-|$)/.test(file));
    if (name) return join(place, name);
  }
  throw new Missing(`no kernel in ${folder}`);
}

/** apt for one suite and architecture. */
export class Suite {
  #name;
  #folder;
  #options;

  constructor(suite, arch) {
    if (!existsSync(SOURCES)) throw new Missing(`Debian's packages (${SOURCES} says where they are)`);
    this.#name = `${suite}-${arch}`;
    this.#folder = join(FOLDER, "apt", this.#name);
    const parts = join(this.#folder, "sources");
    for (const name of ["state/lists/partial", "cache/archives/partial", "sources"])
      mkdirSync(join(this.#folder, name), { recursive: true });
    writeFileSync(join(this.#folder, "status"), "");
    // The first paragraph is the archive; the one for security updates has other suites.
    const archive = readFileSync(SOURCES, "utf8").split(/\n\s*\n/)[0];
    writeFileSync(join(parts, "debian.sources"), `${archive.replace(/^Suites:.*$/m, `Suites: ${suite}`)}\n`);
    const set = {
      "APT::Architecture": arch,
      "APT::Architectures::": arch,
      "APT::Sandbox::User": "",
      "Dir::State": join(this.#folder, "state"),
      "Dir::State::status": join(this.#folder, "status"),
      "Dir::Cache": join(this.#folder, "cache"),
      "Dir::Etc::sourceparts": parts,
      "Dir::Etc::sourcelist": "/dev/null",
      "Debug::NoLocking": "1",
      "Acquire::Check-Valid-Until": "false",
    };
    this.#options = Object.entries(set).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    if (readdirSync(join(this.#folder, "state", "lists")).some((name) => name.endsWith("Packages"))) return;
    execute("apt-get", [...this.#options, "-qq", "update"]);
  }

  /**
   * Unpacks the kernel that a package like `linux-image-cloud-arm64` names. Where the archive has lost it, an older one of the same suite.
   * Returns the folder, and the path of the kernel (`file`).
   */
  kernel(name) {
    const named = execute("apt-cache", [...this.#options, "depends", name]).match(/linux-image-\d\S+/)?.[0] ?? "";
    const flavour = name.replace("linux-image-", "");
    const known = execute("apt-cache", [...this.#options, "pkgnames", "linux-image-"]).split("\n");
    const others = known.filter(
      (other) => /^linux-image-\d/.test(other) && other.endsWith(`-${flavour}`) && other !== named,
    );
    others.sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
    let last = new Missing(`${this.#name} has no ${name}`);
    for (const image of [named, ...others].filter((one) => one.endsWith(`-${flavour}`))) {
      try {
        // Later suites have the kernel and its modules in packages of their own.
        const depends = execute("apt-cache", [...this.#options, "depends", image]);
        const parts = depends.match(/\blinux-(binary|modules)-\d\S+/g) ?? [];
        const folder = this.unpacked("kernels", [image, ...new Set(parts)], { alone: true });
        return { folder, file: kernelIn(folder) };
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  /** Downloads packages with all that they depend on, or alone. Returns the paths of the files. */
  #download(names, alone) {
    const cache = join(this.#folder, "cache", "archives");
    if (alone) {
      execute("apt-get", [...this.#options, "-qq", "download", ...names], { cwd: cache });
    } else {
      const how = ["-qq", "-y", "--no-install-recommends", "--download-only", "install"];
      execute("apt-get", [...this.#options, ...how, ...names]);
    }
    return readdirSync(cache)
      .filter((name) => name.endsWith(".deb"))
      .map((name) => join(cache, name));
  }

  /**
   * The folder that packages are unpacked in, once.
   *
   * @param alone whether nothing that they depend on is unpacked too
   */
  unpacked(as, names, { alone = false } = {}) {
    const folder = join(FOLDER, as, this.#name);
    const list = join(folder, ".packages");
    if (existsSync(list) && readFileSync(list, "utf8") === names.join(" ")) return folder;
    let files;
    try {
      files = this.#download(names, alone);
    } catch {
      // The archive has newer ones than the list says.
      execute("apt-get", [...this.#options, "-qq", "update"]);
      files = this.#download(names, alone);
    }
    const making = `${folder}.making`;
    rmSync(making, { recursive: true, force: true });
    // Since Debian 12 these are links, which a package of the root file system makes in a script.
    mkdirSync(join(making, "usr"), { recursive: true });
    for (const name of ["bin", "sbin", "lib", "lib64"]) {
      mkdirSync(join(making, "usr", name));
      symlinkSync(`usr/${name}`, join(making, name));
    }
    for (const file of files) {
      const unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"';
      execute("bash", ["-o", "pipefail", "-c", unpack, "unpack", file, making]);
      rmSync(file);
    }
    writeFileSync(join(making, ".packages"), names.join(" "));
    rmSync(folder, { recursive: true, force: true });
    renameSync(making, folder);
    return folder;
  }
}
