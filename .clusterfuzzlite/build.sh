#!/bin/bash -eu
exec bash "$SRC/unix-ancillary/fuzz/build.sh"
