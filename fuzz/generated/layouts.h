extern const Macros macros_linux_x86_64_glibc;
extern const Macros macros_linux_s390x_glibc;
extern const Macros macros_linux_x86_64_musl;
extern const Macros macros_linux_s390x_musl;
extern const Macros macros_linux_i386_glibc;
extern const Macros macros_linux_i386_musl;
extern const Macros macros_linux_powerpc_glibc;
extern const Macros macros_linux_powerpc_musl;
extern const Macros macros_linux_mips_glibc;
extern const Macros macros_darwin_arm64;
extern const Macros macros_freebsd_amd64;
extern const Macros macros_freebsd_powerpc64;
extern const Macros macros_freebsd_i386;
extern const Macros macros_openbsd_amd64;
extern const Macros macros_openbsd_i386;
extern const Macros macros_openbsd_powerpc;
extern const Macros macros_openbsd_sparc64;
extern const Macros macros_netbsd_amd64;
extern const Macros macros_netbsd_i386;
extern const Macros macros_netbsd_aarch64;
extern const Macros macros_netbsd_sparc64;
extern const Macros macros_dragonfly_x86_64;
extern const Macros macros_illumos_amd64;
extern const Macros macros_illumos_sparcv9;
static const Layout kLayouts[] = {
  {16, 0, 8, 8, 12, 16, 8, 8, 0, 1, 1, 4, 3, 32, 8, 1, 0, 0, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_x86_64_glibc}, /* linux-x86_64-glibc */
  {16, 0, 8, 8, 12, 16, 8, 8, 1, 1, 1, 4, 3, 32, 8, 1, 0, 0, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_s390x_glibc}, /* linux-s390x-glibc */
  {16, 0, 4, 8, 12, 16, 8, 8, 0, 1, 1, 4, 3, 32, 8, 1, 0, 1, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_x86_64_musl}, /* linux-x86_64-musl */
  {16, 4, 4, 8, 12, 16, 8, 8, 1, 1, 1, 4, 3, 32, 8, 1, 0, 1, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_s390x_musl}, /* linux-s390x-musl */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 1, 1, 4, 3, 32, 8, 1, 0, 0, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_i386_glibc}, /* linux-i386-glibc */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 1, 1, 4, 3, 32, 8, 1, 0, 1, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_i386_musl}, /* linux-i386-musl */
  {12, 0, 4, 4, 8, 12, 4, 4, 1, 1, 1, 4, 3, 32, 8, 1, 0, 0, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_powerpc_glibc}, /* linux-powerpc-glibc */
  {12, 0, 4, 4, 8, 12, 4, 4, 1, 1, 1, 4, 3, 32, 8, 1, 0, 1, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_powerpc_musl}, /* linux-powerpc-musl */
  {12, 0, 4, 4, 8, 12, 4, 4, 1, 65535, 1, 4, 3, 32, 8, 1, 0, 0, {{2, 12, 0, 4, 8}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_linux_mips_glibc}, /* linux-mips-glibc */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 65535, 1, -1, -1, 16, 32, 0, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_darwin_arm64}, /* darwin-arm64 */
  {12, 0, 4, 4, 8, 16, 8, 8, 0, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{3, 84, 0, 8, 20}, {3, 20, -1, 4, 12}, {8, 28, 4, 12, 20}}, &macros_freebsd_amd64}, /* freebsd-amd64 */
  {12, 0, 4, 4, 8, 16, 8, 8, 1, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{3, 84, 0, 8, 20}, {3, 20, -1, 4, 12}, {8, 28, 4, 12, 20}}, &macros_freebsd_powerpc64}, /* freebsd-powerpc64 */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{3, 84, 0, 8, 20}, {3, 20, -1, 4, 12}, {8, 28, 4, 12, 20}}, &macros_freebsd_i386}, /* freebsd-i386 */
  {12, 0, 4, 4, 8, 16, 8, 8, 0, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_openbsd_amd64}, /* openbsd-amd64 */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_openbsd_i386}, /* openbsd-i386 */
  {12, 0, 4, 4, 8, 16, 8, 8, 1, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_openbsd_powerpc}, /* openbsd-powerpc */
  {12, 0, 4, 4, 8, 16, 16, 16, 1, 65535, 1, -1, -1, 16, 32, 1, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_openbsd_sparc64}, /* openbsd-sparc64 */
  {12, 0, 4, 4, 8, 16, 8, 8, 0, 65535, 1, -1, -1, 16, 32, 0, 0, 0, {{16, 24, 0, 8, 16}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_netbsd_amd64}, /* netbsd-amd64 */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 65535, 1, -1, -1, 16, 32, 0, 0, 0, {{16, 24, 0, 8, 16}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_netbsd_i386}, /* netbsd-i386 */
  {12, 0, 4, 4, 8, 16, 16, 16, 0, 65535, 1, -1, -1, 16, 32, 0, 0, 0, {{16, 24, 0, 8, 16}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_netbsd_aarch64}, /* netbsd-aarch64 */
  {12, 0, 4, 4, 8, 16, 16, 16, 1, 65535, 1, -1, -1, 16, 32, 0, 0, 0, {{16, 24, 0, 8, 16}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_netbsd_sparc64}, /* netbsd-sparc64 */
  {12, 0, 4, 4, 8, 16, 8, 8, 0, 65535, 1, -1, -1, 16, 32, 1, 1, 0, {{3, 84, 0, 8, 20}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_dragonfly_x86_64}, /* dragonfly-x86_64 */
  {12, 0, 4, 4, 8, 12, 4, 4, 0, 65535, 4112, -1, -1, 32, 16, 1, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_illumos_amd64}, /* illumos-amd64 */
  {12, 0, 4, 4, 8, 12, 4, 8, 1, 65535, 4112, -1, -1, 32, 16, 1, 0, 0, {{-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}, {-1, 0, -1, 0, 0}}, &macros_illumos_sparcv9}, /* illumos-sparcv9 */
};
