#include "base/options.h"

#include "base/live.h"

static bool
is_within(uint64_t value, uint64_t least, uint64_t most)
{
    return value >= least && value <= most;
}

bool
nmq_options_fit(const nmq_options *options)
{
    bool fit = true;

#define OPTION(type, name, least, most, help)                                              \
    fit = fit && is_within(options->name, least, most);
#include "options.def"
    return fit;
}

void
nmq_options_take(nmq_options *to, const nmq_options *from)
{
#define OPTION(type, name, least, most, help) NMQ_LIVE_SET(to->name, from->name);
#include "options.def"
}
