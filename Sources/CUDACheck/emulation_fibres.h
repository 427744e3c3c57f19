// The threads of a grid as fibres of one thread, and the barriers at which they change.
#pragma once
#include <stdint.h>
#include <string.h>

#include <functional>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulation {

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
};
struct Warp {
  Barrier barrier;
  float values[32];
  unsigned a[32][4], b[32][2];
  const unsigned char* rows[32];
};
struct PhaseBarrier { int count, pending, parity, bytes; };
struct Block {
  unsigned number;
  Barrier barrier;
  Barrier groups[16];
  std::map<unsigned, PhaseBarrier> phases;
  std::vector<Warp> warps;
  std::vector<unsigned char> storage;
  unsigned char* memory;
};
struct Copy { unsigned char* to; const void* from; bool valid; };
struct Index { unsigned x; };
struct Fibre {
  Index thread, blockNumber;
  Block* block;
  Warp* warp;
  int lane;
  bool done = false;
  std::vector<std::vector<Copy>> groups{1};
  std::unique_ptr<unsigned char[]> stack;
#if defined(__x86_64__)
  void* place;
#else
  ucontext_t context;
#endif
};

static Fibre* current;
static std::vector<std::unique_ptr<Fibre>> fibres;
static size_t turn;
static std::function<void()> body;
static Index grid, threads;

#if defined(__x86_64__)
// Saves what a call must keep and exchanges stacks.
__attribute__((naked, noinline)) static void exchange(void**, void*) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}
static void* home;
static void leave(Fibre* from, Fibre* to) {
  exchange(from ? &from->place : &home, to ? to->place : home);
}
#else
static ucontext_t home;
static void leave(Fibre* from, Fibre* to) {
  swapcontext(from ? &from->context : &home, to ? &to->context : &home);
}
#endif

// Lets the next fibre run; comes back when all others have had their turn.
static void yield() {
  Fibre* from = current;
  for (size_t tried = 0; tried < fibres.size(); ++tried) {
    turn = turn + 1 == fibres.size() ? 0 : turn + 1;
    Fibre* to = fibres[turn].get();
    if (to->done) continue;
    if (to != from) {
      current = to;
      leave(from, to);
    }
    return;
  }
  current = nullptr;
  leave(from, nullptr);
}

static void wait(Barrier& barrier, int count) {
  const unsigned generation = barrier.generation;
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  while (barrier.generation == generation) yield();
}

static void start() {
  body();
  current->done = true;
  for (;;) yield();
}

// Runs a kernel's body in every thread of a grid.
static void run(int blocks, int width, int bytes, std::function<void()> kernel) {
  body = std::move(kernel);
  grid.x = blocks;
  threads.x = width;
  std::vector<std::unique_ptr<Block>> all;
  fibres.clear();
  const size_t stackBytes = 64 << 10;
  for (int b = 0; b < blocks; ++b) {
    all.push_back(std::make_unique<Block>());
    Block* block = all.back().get();
    block->number = b;
    block->warps.resize((width + 31) / 32);
    block->storage.assign(bytes + 2048, 0xff);
    block->memory = (unsigned char*)(((uintptr_t)block->storage.data() + 1023) / 1024 * 1024);
    for (int t = 0; t < width; ++t) {
      auto fibre = std::make_unique<Fibre>();
      fibre->thread.x = t;
      fibre->blockNumber.x = b;
      fibre->block = block;
      fibre->warp = &block->warps[t / 32];
      fibre->lane = t % 32;
      fibre->stack.reset(new unsigned char[stackBytes]);
#if defined(__x86_64__)
      uintptr_t top = ((uintptr_t)fibre->stack.get() + stackBytes) / 16 * 16;
      void** place = (void**)top - 8;
      memset(place, 0, 64);
      place[6] = (void*)start;
      fibre->place = place;
#else
      getcontext(&fibre->context);
      fibre->context.uc_stack.ss_sp = fibre->stack.get();
      fibre->context.uc_stack.ss_size = stackBytes;
      makecontext(&fibre->context, start, 0);
#endif
      fibres.push_back(std::move(fibre));
    }
  }
  turn = 0;
  current = fibres[0].get();
  leave(nullptr, current);
}

// The sizes of a kernel's parameters.
template <typename... A>
static int parameters(void (*)(A...), int* sizes) {
  const int all[] = {(int)sizeof(A)..., 0};
  for (size_t i = 0; i < sizeof...(A); ++i) sizes[i] = all[i];
  return (int)sizeof...(A);
}
// Launches a kernel whose arguments are at the given addresses.
template <typename... A, size_t... I>
static void launch(void (*kernel)(A...), void** values, int blocks, int width, int bytes,
                   std::index_sequence<I...>) {
  run(blocks, width, bytes, [&] { kernel(*(std::remove_reference_t<A>*)values[I]...); });
}
template <typename... A>
static void launch(void (*kernel)(A...), void** values, int blocks, int width, int bytes) {
  launch(kernel, values, blocks, width, bytes, std::index_sequence_for<A...>());
}

}  // namespace emulation
