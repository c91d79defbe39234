// park.h - checks net/park.h: with one thread each order, with several what they meet.
#pragma once

void check_park(void);
