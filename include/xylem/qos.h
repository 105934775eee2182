/* SPDX-License-Identifier: Apache-2.0 */
/* Flow specifications: what a sender offers and a receiver wants (Winsock QOS, RFC 2215 token bucket). Rates are 64-bit
 * because 32 bits of bytes/s end at 34 Gbit/s. A field that is all ones is unspecified (W-260). */
#ifndef XYLEM_QOS_H
#define XYLEM_QOS_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XY_UNSPECIFIED_64 UINT64_MAX /* rates and bucket */
#define XY_UNSPECIFIED_32 UINT32_MAX /* the other fields */

/* Service types (numbers of Winsock's qos.h). */
#define XY_SERVICE_NOTRAFFIC 0
#define XY_SERVICE_BEST_EFFORT 1
#define XY_SERVICE_CONTROLLED_LOAD 2
#define XY_SERVICE_GUARANTEED 3
#define XY_SERVICE_NO_CHANGE 6
#define XY_SERVICE_NETWORK_CONTROL 10

/* Codes in the error slot of XY_FD_QOS (WSA_QOS_*, W-269). */
#define XY_QOS_RECEIVERS 11005
#define XY_QOS_SENDERS 11006
#define XY_QOS_NO_SENDERS 11007
#define XY_QOS_NO_RECEIVERS 11008
#define XY_QOS_REQUEST_CONFIRMED 11009
#define XY_QOS_ADMISSION_FAILURE 11010
#define XY_QOS_POLICY_FAILURE 11011
#define XY_QOS_BAD_STYLE 11012
#define XY_QOS_BAD_OBJECT 11013
#define XY_QOS_TRAFFIC_CTRL_ERROR 11014
#define XY_QOS_GENERIC_ERROR 11015
#define XY_QOS_ESERVICETYPE 11016
#define XY_QOS_EFLOWSPEC 11017
#define XY_QOS_EPROVSPECBUF 11018

/* A buffer of the caller's: `len` bytes at `buf`. Where it is filled by a call, `len` is the room going in and the
 * length coming out. */
struct xy_data {
    void* buf;
    size_t len;
};

struct xy_flowspec {
    uint64_t token_rate;           /* bytes/s; 0 is invalid */
    uint64_t token_bucket_size;    /* bytes */
    uint64_t peak_bandwidth;       /* bytes/s, at least token_rate */
    uint32_t latency;              /* microseconds */
    uint32_t delay_variation;      /* microseconds */
    uint32_t service_type;         /* XY_SERVICE_* */
    uint32_t max_sdu_size;         /* bytes */
    uint32_t minimum_policed_size; /* bytes */
    uint32_t reserved;             /* 0 */
};

struct xy_qos {
    struct xy_flowspec sending;
    struct xy_flowspec receiving;
    struct xy_data provider_specific; /* absent: NULL, 0 */
    uint64_t reserved[4];             /* 0 */
};

#ifdef __cplusplus
}
#endif
#endif
