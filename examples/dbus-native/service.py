# A service with two methods that pass descriptors, as logind's and a portal's do. Debian's python3-dbus and python3-gi.
import os

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib


class Manager(dbus.service.Object):
    held = 0

    @dbus.service.method("org.freedesktop.login1.Manager", in_signature="ssss", out_signature="h")
    def Inhibit(self, what, who, why, mode):
        """The lock is held as long as the descriptor, or a duplicate of it, is open."""
        read, write = os.pipe()
        self.held += 1
        GLib.io_add_watch(read, GLib.IO_HUP, self.released)
        fd = dbus.types.UnixFd(write)
        os.close(write)
        return fd

    def released(self, read, condition):
        os.close(read)
        self.held -= 1
        return False

    @dbus.service.method("org.freedesktop.login1.Manager", out_signature="u")
    def CountInhibitors(self):
        return self.held

    @dbus.service.method("org.freedesktop.portal.OpenURI", in_signature="sh", out_signature="s")
    def OpenFile(self, parent, fd):
        """What is in the file that the caller has opened."""
        with os.fdopen(fd.take()) as file:
            return file.read()


DBusGMainLoop(set_as_default=True)
bus = dbus.SessionBus()
name = dbus.service.BusName("org.freedesktop.login1", bus)
manager = Manager(bus, "/org/freedesktop/login1")
print("ready", flush=True)
GLib.MainLoop().run()
