// A server for a folder of static files, on 127.0.0.1.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, resolve, sep } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".json": "application/json",
};

/** The file that an address stands for; null: there is none. */
function fileOf(folder, url) {
  try {
    const file = join(folder, decodeURIComponent(new URL(url, "http://localhost").pathname));
    if (file !== folder && !file.startsWith(folder + sep)) return null;
    const index = existsSync(file) && statSync(file).isDirectory() ? join(file, "index.html") : file;
    return existsSync(index) && statSync(index).isFile() ? index : null;
  } catch {
    // An escape that is none, or a NUL.
    return null;
  }
}

/** @returns the server, and its address */
export async function serve(folder, port) {
  const root = resolve(folder);
  const server = createServer((request, response) => {
    const file = fileOf(root, request.url);
    if (file === null) {
      response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
      return;
    }
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    createReadStream(file).pipe(response);
  });
  await new Promise((listening, failed) => server.once("error", failed).listen(port, "127.0.0.1", listening));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}
