// reply.h - packets of the server to its client, and the end of a client's connection.
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// The largest packet that may go to the client.
uint32_t nmq_reply_max_bytes(const nmq_server_conn *conn);

// Appends bytes to the connection's own outbox. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_reply_put(nmq_server_conn *conn, nmq_batch *batch, nmq_bytes bytes);

// Encodes the packet to the connection's own outbox. A Reason String is left out where the
// client did not ask for it [MQTT-3.1.2-29] or the packet would be too large; a packet that
// still is too large ends the connection.
enum nmq_next nmq_reply_packet(nmq_server_conn *conn, nmq_batch *batch, nmq_packet *packet);

// Encodes PUBACK, PUBREC or PUBCOMP.
enum nmq_next nmq_reply_ack(nmq_server_conn *conn, nmq_batch *batch, uint8_t type,
                            uint16_t packet_id, nmq_fault how);

// Ends the connection for a fault of its peer. A CONNACK or DISCONNECT says why, where the
// version has one for it [MQTT-4.13.2-1]. Returns NMQ_NEXT_END.
enum nmq_next nmq_reply_refuse(nmq_server_conn *conn, nmq_batch *batch, nmq_fault fault);

// Why a packet is refused that would have to be logged, by what nmq_journal_may has said.
nmq_fault nmq_reply_unlogged(int may_log);

// Logs that memory is out, and ends the connection.
enum nmq_next nmq_reply_no_memory(nmq_server_conn *conn);
