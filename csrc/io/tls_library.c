#include "io/tls_library.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"
#include "io/nng.h"

// Calls of a library to functions that it could have from elsewhere.
typedef struct {
    ElfW(Addr) base;
    const ElfW(Sym) * symbols;
    const char *names;
    const uint8_t *calls; // relocations
    size_t calls_bytes;
    size_t call_bytes; // of one
    const char *path;
} library;

static library found;

static library
read_dynamic(ElfW(Addr) base, const ElfW(Dyn) * dynamic)
{
    library l = {.base = base, .call_bytes = sizeof(ElfW(Rela))};

    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        // glibc has made these absolute, other C libraries have not
        ElfW(Addr) at = d->d_un.d_ptr < base ? base + d->d_un.d_ptr : d->d_un.d_ptr;
        switch (d->d_tag) {
        case DT_SYMTAB: l.symbols = (const ElfW(Sym) *) at; break;
        case DT_STRTAB: l.names = (const char *) at; break;
        case DT_JMPREL: l.calls = (const uint8_t *) at; break;
        case DT_PLTRELSZ: l.calls_bytes = d->d_un.d_val; break;
        case DT_PLTREL:
            l.call_bytes =
                d->d_un.d_val == DT_RELA ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
            break;
        default: break;
        }
    }
    return l;
}

typedef struct {
    ElfW(Addr) inside; // an address in it
    library found;
} search;

static int
look(struct dl_phdr_info *info, size_t size, void *arg)
{
    search *s = arg;
    const ElfW(Dyn) *dynamic = NULL;
    bool here = false;

    (void) size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        ElfW(Addr) begin = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_DYNAMIC) {
            dynamic = (const ElfW(Dyn) *) begin;
        }
        here = here || (p->p_type == PT_LOAD && s->inside - begin < p->p_memsz);
    }
    if (!here || dynamic == NULL) {
        return 0;
    }
    s->found = read_dynamic(info->dlpi_addr, dynamic);
    s->found.path = info->dlpi_name; // as long as it is loaded, which is for ever
    return 1;
}

static bool
write_slot(uintptr_t *slot, uintptr_t function)
{
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
    void *begin = (void *) ((uintptr_t) slot & ~(page - 1)); // a slot lies in one page

    if (mprotect(begin, page, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    __atomic_store_n(slot, function, __ATOMIC_RELEASE);
    return true;
}

// Writes *own first: calls may come as soon as the slot is written.
static bool
replace(uintptr_t *slot, uintptr_t own_at, uintptr_t instead, void *own)
{
    memcpy(own, &own_at, sizeof own_at); // all of them are function pointers
    if (!write_slot(slot, instead)) {
        memset(own, 0, sizeof own_at);
        return false;
    }
    return true;
}

bool
nmq_tls_library_redirect(const char *name, uintptr_t instead, void *own)
{
    const library *l = &found;

    memset(own, 0, sizeof instead);
    for (size_t at = 0; at + l->call_bytes <= l->calls_bytes; at += l->call_bytes) {
        ElfW(Rel) call; // both kinds begin like this
        memcpy(&call, l->calls + at, sizeof call);
        size_t index = sizeof call.r_info == 8 ? (size_t) ((uint64_t) call.r_info >> 32)
                                               : (size_t) (call.r_info >> 8);
        const ElfW(Sym) *symbol = &l->symbols[index];
        if (strcmp(l->names + symbol->st_name, name) == 0 && symbol->st_value != 0) {
            return replace((uintptr_t *) (l->base + call.r_offset),
                           l->base + symbol->st_value, instead, own);
        }
    }
    return false;
}

uintptr_t
nmq_tls_library_get(const char *name)
{
    void *handle = dlopen(found.path, RTLD_NOW | RTLD_NOLOAD); // one reference more, kept

    return handle != NULL ? (uintptr_t) dlsym(handle, name) : 0;
}

int
nmq_tls_library_find(void)
{
    search s = {.inside = (ElfW(Addr))(uintptr_t) nng.tls_config_alloc};

    if (dl_iterate_phdr(look, &s) == 0 || s.found.symbols == NULL ||
        s.found.names == NULL) {
        return NMQ_ENOENT;
    }
    found = s.found;
    return NMQ_OK;
}
