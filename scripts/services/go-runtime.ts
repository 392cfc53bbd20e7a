/**
 * For a Go server: its runtime otherwise samples where memory is allocated, for a profile that nobody asks for, and
 * keeps every call path it has seen. That is the megabyte or two by which a server grows for hours.
 */
export const withoutHeapProfile = { GODEBUG: 'memprofilerate=0' } as const;
