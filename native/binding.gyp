{
  "targets": [
    {
      "target_name": "unix_ancillary",
      "sources": ["addon.cc", "message.cc", "descriptor.cc", "socket.cc", "names.cc", "closer.cc", "readiness.cc", "thread-readiness.cc", "abi.cc"],
      "include_dirs": ["<!(node -p \"require(require.resolve('node-addon-api', { paths: ['.', ...process.env.PATH.split(':')] })).include_dir\")"],
      "defines": ["NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "_GNU_SOURCE"],
      "cflags_cc": [
        "-std=c++17", "-Os", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics",
        "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-ffunction-sections"
      ],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "GCC_ENABLE_CPP_EXCEPTIONS": "NO"
      },
      "conditions": [
        ["OS!='mac'", {
          "ldflags": ["-nostdlib", "-Wl,-z,nodelete", "-Wl,-z,lazy", "-Wl,-z,noexecstack", "-Wl,--gc-sections", "-Wl,--build-id=none"],
          "libraries": ["-lc", "-lpthread", "-lgcc"]
        }]
      ]
    }
  ]
}
