/* core.wasm as plain C functions, ua_NAME, one for each export. wasm2c has translated the module to core-wasm.c; docs/core-abi.md has
 * the commands. Every other Wasm host can stand in for this file: it has to provide these functions and the memory.
 */
#include <string.h>

#define UA_WITH_ABIS
#include "core.h"
#include "core-wasm.h"

#ifdef OLD_WASM2C /* up to 1.0.32, which Debian 12 has */
static Z_core_instance_t core;
#define CORE(NAME) Z_coreZ_##NAME
#define INSTANTIATE() (Z_core_init_module(), Z_core_instantiate(&core))
#else
static w2c_core core;
#define CORE(NAME) w2c_core_##NAME
#define INSTANTIATE() wasm2c_core_instantiate(&core)
#endif

/* Once, before anything else. The memory never moves and never grows. */
uint8_t *ua_start(void) {
  wasm_rt_init();
  INSTANTIATE();
  return CORE(memory)(&core)->data;
}

#define WITH(...) &core, __VA_ARGS__
#define WRAP(RESULT, NAME, PARAMETERS, ARGUMENTS) \
  RESULT ua_##NAME PARAMETERS { return CORE(NAME)(WITH ARGUMENTS); }
#define WRAP0(RESULT, NAME) \
  RESULT ua_##NAME(void) { return CORE(NAME)(&core); }
UA_EXPORTS(WRAP, WRAP0)

/* Configures the module for a row of the ABI table; NULL if there is none of this name. The order matters: the layout, the numbers, then all
 * three layouts of credentials, or those of the last ABI stay.
 */
const struct ua_abi *ua_use(const char *name) {
  for (int i = 0; i < UA_ABIS; i++) {
    const struct ua_abi *abi = &ua_abis[i];
    const int32_t *l = abi->layout, *n = abi->numbers;
    if (strcmp(abi->name, name) != 0) continue;
    if (!ua_setLayout(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[8])) return NULL;
    ua_setNumbers(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
    for (int kind = 0; kind < 3; kind++) {
      const int32_t *c = abi->credentials[kind];
      if (!ua_setCredentials(c[0], c[1], c[2], c[3], c[4], c[5])) return NULL;
    }
    return abi;
  }
  return NULL;
}
