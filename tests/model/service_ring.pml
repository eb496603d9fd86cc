/* Every message is answered once, with what was sent, and no slot is written while somebody needs it: a model of the two rings of
 * mem/service_ring.h and of the places of sched/service_queue.c, for two workers whose answers come in any order.
 *
 * A slot is its bytes and its word, which are written one after the other.  Every step is seen by all at once: what orders of memory are
 * needed is for ThreadSanitizer, on the same text.
 *
 * Must fail: -DWORD_FIRST -DANSWER_WORD_FIRST -DSEND_BY_COUNT -DONE_LAP */
#define ITEMS 6
#define CAPACITY 2
#define HANDS 2
#ifdef ONE_LAP
#define LAP(position) 1
#else
#define LAP(position) (((position) / CAPACITY) % 2 + 1)
#endif

byte message[CAPACITY], message_word[CAPACITY]; /* words: the lap */
byte answer[CAPACITY], answer_tag[CAPACITY], answer_word[CAPACITY];
bool is_taken[CAPACITY]; /* places */
byte ticket_of[CAPACITY];
byte n_seen[ITEMS];

active proctype host()
{
    byte sent = 0, got = 0, tag = 0;
    do
#ifdef SEND_BY_COUNT
    :: sent < ITEMS && sent - got < CAPACITY ->
#else
    :: sent < ITEMS && !is_taken[sent % CAPACITY] ->
#endif
        is_taken[sent % CAPACITY] = true;
        ticket_of[sent % CAPACITY] = sent;
#ifdef WORD_FIRST
        message_word[sent % CAPACITY] = LAP(sent);
        message[sent % CAPACITY] = 10 + sent;
#else
        message[sent % CAPACITY] = 10 + sent;
        message_word[sent % CAPACITY] = LAP(sent);
#endif
        sent++
    :: got < sent && answer_word[got % CAPACITY] == LAP(got) ->
        tag = answer_tag[got % CAPACITY];
        assert(ticket_of[tag % CAPACITY] == tag && is_taken[tag % CAPACITY]);
        assert(answer[got % CAPACITY] == 10 + tag && n_seen[tag] == 0);
        n_seen[tag]++;
        is_taken[tag % CAPACITY] = false;
        got++
    :: got == ITEMS -> break
    od
}

active proctype kernel()
{
    byte taken = 0, answered = 0, k = 0;
    bool is_full[HANDS];
    byte hand[HANDS], ticket[HANDS];
    do
    :: taken < ITEMS && message_word[taken % CAPACITY] == LAP(taken) && !(is_full[0] && is_full[1]) ->
        if :: !is_full[0] -> k = 0 :: !is_full[1] -> k = 1 fi;
        hand[k] = message[taken % CAPACITY];
        ticket[k] = taken;
        is_full[k] = true;
        taken++
    :: is_full[0] || is_full[1] ->
        if :: is_full[0] -> k = 0 :: is_full[1] -> k = 1 fi;
#ifdef ANSWER_WORD_FIRST
        answer_word[answered % CAPACITY] = LAP(answered);
        answer[answered % CAPACITY] = hand[k];
        answer_tag[answered % CAPACITY] = ticket[k];
#else
        answer[answered % CAPACITY] = hand[k];
        answer_tag[answered % CAPACITY] = ticket[k];
        answer_word[answered % CAPACITY] = LAP(answered);
#endif
        is_full[k] = false;
        answered++
    :: answered == ITEMS -> break
    od
}
