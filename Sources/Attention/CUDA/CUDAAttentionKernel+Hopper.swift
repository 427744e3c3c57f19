internal import Devices
internal import Tensors

// sm_90a: tiles of 64 or 128 rows on wgmma. One warp group fetches keys and values, by TMA where
// pages are whole boxes and else row by row, into swizzled memory behind mbarriers; the others
// multiply, 64 rows each, and have the registers that the first gives up.
extension CUDAAttentionKernel {
  /// How the memory of a block is shared out.
  struct HopperTile: Hashable {
    var rows: Int
    var keys: Int
    var stages: Int
    var bytes: Int

    /// Warp groups that multiply.
    var groups: Int { rows / 64 }
    var threads: Int { 128 * (groups + 1) }
  }

  /// Tokens of a TMA box; pages and cuts of keys are multiples of it.
  static let boxTokens = 16

  /// The largest tile of keys that fits, with two stages.
  var hopperTile: HopperTile? {
    guard case .warpGroups(let rows, _) = tile, shape.valueDimension <= 256 else { return nil }
    for keys in [128, 64, 32] where shape.valueDimension <= 128 || keys <= 64 {
      let tile = hopperTile(rows, keys: keys)
      if tile.bytes <= sharedLimit { return tile }
    }
    return nil
  }

  func hopperTile(_ rows: Int, keys: Int) -> HopperTile {
    let stages = 2
    let loop = rows * keyPitch * 2 + stages * keys * (keyPitch + valuePitch) * 2
    let join = rows * (shape.valueDimension + 2) * 4
    let bytes = max(loop, join) + stages * keys * (usesTMA ? 4 : 20) + rows * 40 + 4 * stages * 8
    return HopperTile(rows: rows, keys: keys, stages: stages, bytes: (bytes + 15) / 16 * 16)
  }

  private var usesTMA: Bool {
    if case .warpGroups(_, let usesTMA) = tile { usesTMA } else { false }
  }

  /// Elements of a row in shared memory, in whole blocks of 64.
  private func pitch(_ dimension: Int) -> Int { (dimension + 63) / 64 * 64 }
  private var keyPitch: Int { pitch(shape.headDimension) }
  private var valuePitch: Int { pitch(shape.valueDimension) }

  /// Columns of the second product.
  private var outputColumns: Int { (shape.valueDimension + 15) / 16 * 16 }

  var hopperFunctions: [String] {
    guard let tile = hopperTile else { return [] }
    return [
      formats, blockSwizzle, instructions90(tile),
      loadQueries(rows: tile.rows, columns: keyPitch, extent: tile.rows),
      usesTMA
        ? loadBoxes(tile)
        : copyFunctions(keys: tile.keys, loaders: 128, extents: (tile.keys, tile.keys))
          .joined(separator: "\n\n"),
      weigh(columns: tile.keys / 8), products(tile),
      leaveTile(rows: tile.rows, parts: 1, columns: outputColumns),
      produce(tile), attendHopper(tile),
    ]
  }

  /// Where a chunk lies: blocks of 64 columns, 128 bytes a row, swizzled as TMA and wgmma do.
  private var blockSwizzle: String {
    """
    __device__ inline int chunk_at(int row, int chunk, int rows) {
      return (chunk / 8 * rows + row) * 64 + ((chunk % 8) ^ (row & 7)) * 8;
    }
    """
  }

  /// wgmma of this kernel's sizes; the accumulators are the registers of a warp group's 64 rows.
  private func instructions90(_ tile: HopperTile) -> String {
    let format = storedType == .bfloat16 ? "bf16" : "f16"
    func product(_ name: String, columns: Int, fromRegisters: Bool) -> String {
      let count = columns / 2
      let registers = (0..<count).map { "%\($0)" }.joined(separator: ",")
      let outputs = (0..<count).map { "\"+f\"(c[\($0 / 4)][\($0 % 4)])" }.joined(separator: ",")
      let (a, operands, next): (String, String, Int) =
        fromRegisters
        ? (
          "{%\(count),%\(count + 1),%\(count + 2),%\(count + 3)}",
          "\"r\"(a[0]), \"r\"(a[1]), \"r\"(a[2]), \"r\"(a[3])", count + 4
        ) : ("%\(count)", "\"l\"(a)", count + 1)
      let last = fromRegisters ? "p, 1, 1, 1" : "p, 1, 1, 0, 0"
      return """
        __device__ inline void \(name)(
            float (&c)[\(columns / 8)][4], \(fromRegisters ? "const unsigned (&a)[4]" : "unsigned long long a"),
            unsigned long long b, int accumulates) {
        #ifdef ATTENTION_EMULATION
          emulation::group_multiply(&c[0][0], \(columns), a, b, accumulates, \(storedType == .bfloat16));
        #else
          asm volatile("{\\n.reg .pred p;\\nsetp.ne.b32 p, %\(next + 1), 0;\\n"
              "wgmma.mma_async.sync.aligned.m64n\(columns)k16.f32.\(format).\(format) "
              "{\(registers)}, \(a), %\(next), \(last);\\n}"
              : \(outputs)
              : \(operands), "l"(b), "r"(accumulates));
        #endif
        }
        """
    }
    return [
      product("multiply_scores", columns: tile.keys, fromRegisters: false),
      product("multiply_values", columns: outputColumns, fromRegisters: true),
    ].joined(separator: "\n")
  }

  /// A tile of keys and values by TMA, a box a lane, each at its own page; boxes behind the end repeat the
  /// last.
  private func loadBoxes(_ tile: HopperTile) -> String {
    let box = Self.boxTokens
    func boxes(_ name: String, _ pitch: Int) -> String {
      """
      for (int column = 0; column < \(pitch / 64); ++column)
        load_box(\(name)Map,
            shared_address(\(name)s + (column * \(tile.keys) + (int)threadIdx.x * \(box)) * 64), full,
            column * 64, slot.place, head, (int)slot.page);
      """
    }
    return """
      __device__ inline void load_boxes(
          const Arguments& a, const TensorMap& keyMap, const TensorMap& valueMap,
          const WorkItem& item, const QueryTile& tile, const Slot& slot, int head, int base, Half* keys,
          Half* values, int* positions, SharedAddress full) {
        for (int i = threadIdx.x; i < \(tile.keys); i += 128)
          positions[i] = base + i < item.kvEnd ? locate(a, tile, base + i).position : -1;
        if (threadIdx.x == 0) expect_bytes(full, \(tile.keys * (keyPitch + valuePitch) * 2)u);
        if (threadIdx.x < \(tile.keys / box)) {
          \(boxes("key", keyPitch).indented(by: 4))
          \(boxes("value", valuePitch).indented(by: 4))
        }
        if (threadIdx.x != 0) arrive(full);
      }
      """
  }

  /// The two products of a warp group's rows with a tile.
  private func products(_ tile: HopperTile) -> String {
    let steps = (shape.headDimension + 15) / 16
    return """
      __device__ inline void compute_scores(
          const Half* queries, const Half* keys, float (&s)[\(tile.keys / 8)][4]) {
        begin_products();
        #pragma unroll
        for (int k = 0; k < \(steps); ++k)
          multiply_scores(s,
              describe(shared_address(queries + k / 4 * \(tile.rows * 64) + k % 4 * 16), 16, 1024),
              describe(shared_address(keys + k / 4 * \(tile.keys * 64) + k % 4 * 16), 16, 1024),
              k > 0);
        end_products();
      }
      __device__ inline void weigh_values(
          const Half* values, const float (&s)[\(tile.keys / 8)][4], const float (&factor)[2],
          float (&out)[\(outputColumns / 8)][4]) {
        \(rescale(outputColumns / 8).indented(by: 2))
        unsigned p[\(tile.keys / 16)][4];
        #pragma unroll
        for (int k = 0; k < \(tile.keys / 16); ++k)
          #pragma unroll
          for (int i = 0; i < 4; ++i)
            p[k][i] = pack(s[2 * k + i / 2][i % 2 * 2], s[2 * k + i / 2][i % 2 * 2 + 1]);
        begin_products();
        #pragma unroll
        for (int k = 0; k < \(tile.keys / 16); ++k)
          multiply_values(out, p[k],
              describe(shared_address(values + k * 1024), \(tile.keys * 128), 1024), 1);
        end_products();
      }
      """
  }

  /// The fetching warp group's turn: tile after tile, as far ahead as there are stages.
  private func produce(_ tile: HopperTile) -> String {
    let (keys, stages) = (tile.keys, tile.stages)
    let stage = "keys + stage * \(keys * keyPitch), values + stage * \(keys * valuePitch)"
    let kinds = [(keyRows, keyPitch), (valueRows, valuePitch)]
    let moves = kinds.map { rows, pitch in
      let to = "\(rows.name)s + stage * \(keys * pitch)"
      return rows.way == .copied
        ? "fetch_\(rows.name)s(from, shared_address(\(to)), member);"
        : "convert_\(rows.name)s(a, place, nullptr, from, here, \(to), member);"
    }
    // Keys, or boxes, of a tile are looked up while the one before is fetched.
    let (count, step) = usesTMA ? (keys / Self.boxTokens, Self.boxTokens) : (keys, 1)
    let last = usesTMA ? "(item.kvEnd - 1) / \(step) * \(step)" : "item.kvEnd - 1"
    let look = """
      if (member < \(count) && next < item.kvEnd)
        found = locate(a, tile, min(next + member * \(step), \(last)));
      """
    let body =
      usesTMA
      ? """
      const Slot slot = found;
      next = base + \(keys);
      \(look)
      wait_for(empty + stage * 8, turn / \(stages) % 2 ^ 1);
      load_boxes(a, keyMap, valueMap, item, tile, slot, head, base, \(stage),
          positions + stage * \(keys), full + stage * 8);
      """
      : """
      wait_for(empty + stage * 8, turn / \(stages) % 2 ^ 1);
      Source* from = sources + stage * \(keys);
      int* here = positions + stage * \(keys);
      if (member < \(keys))
        put(a, found, head, base + member < item.kvEnd, from[member], here[member]);
      synchronize_group(3, 128);
      next = base + \(keys);
      \(look)
      \(moves.joined(separator: "\n"))
      commit_copies();
      wait_copies<0>();
      publish_copies();
      arrive(full + stage * 8);
      """
    return """
      __device__ inline void produce(
          const Arguments& a, const TensorMap& keyMap, const TensorMap& valueMap,
          const WorkItem& item, const QueryTile& tile, const Place& place, int head, Half* keys,
          Half* values, int* positions, SharedAddress full, SharedAddress empty,
          unsigned& turn\(usesTMA ? "" : ", Source* sources")) {
        int member = threadIdx.x;
        hold(member);
        int next = item.kvFirst;
        Slot found;
        \(look.indented(by: 2))
        for (int base = item.kvFirst; base < item.kvEnd; base += \(keys), ++turn) {
          const unsigned stage = turn % \(stages);
          \(body.indented(by: 4))
        }
      }
      """
  }

  /// One pass's rows against one chunk of keys of one head.
  private func attendHopper(_ tile: HopperTile) -> String {
    let (keys, n) = (tile.keys, outputColumns)
    let scale = "\(variant.scale(for: shape))f" + (has(.key) ? "" : " * a.keyScales[head]")
    let loop = tile.rows * keyPitch * 2 + tile.stages * keys * (keyPitch + valuePitch) * 2
    let join = tile.rows * (shape.valueDimension + 2) * 4
    // Two warp groups multiply and one copies: 512 × 128 registers are all there are. Functors of
    // keys and values need the registers themselves, and calls cannot do with another number.
    let exchanges = tile.groups == 2 && !has(.key) && !has(.value) && !callsFunctors
    let clear =
      usesTMA
      ? """
      // What lies behind the end in the last page may be no number.
      if (base + \(keys) > item.kvEnd) {
        for (int i = threadIdx.x % 128; i < \(keys * valuePitch / 8); i += 128)
          if (base + i % \(keys) >= item.kvEnd)
            *(uint4*)(here + chunk_at(i % \(keys), i / \(keys), \(keys))) = uint4();
        publish_copies();
        synchronize_group(1 + own, 128);
      }
      """ : ""
    return """
      __device__ void attend(
          const Arguments& a, const TensorMap& keyMap, const TensorMap& valueMap,
          const WorkItem& item, const QueryTile& tile, int head, int first, unsigned char* memory,
          SharedAddress full, SharedAddress empty, unsigned& turn) {
        Half* queries = (Half*)memory;
        Half* keys = queries + \(tile.rows * keyPitch);
        Half* values = keys + \(tile.stages * keys * keyPitch);
        int* positions = (int*)(memory + \(max(loop, join)));
        Row* rows = (Row*)(positions + \(tile.stages * keys));
        \(usesTMA ? "" : "Source* sources = (Source*)(memory + \(tile.bytes - tile.stages * (keys * 16 + 4 * 8)));")
        const int group = threadIdx.x / 128 - 1;
        const int warp = threadIdx.x / 32 - 4, lane = threadIdx.x % 32;
        place_rows(a, tile, head, first, \(tile.rows), rows);
        __syncthreads();
        load_queries(a, rows, queries);
        publish_copies();
        __syncthreads();

        float out[\(n / 8)][4];
        #pragma unroll
        for (int j = 0; j < \(n / 8); ++j) out[j][0] = out[j][1] = out[j][2] = out[j][3] = 0.f;
        float top[2] = {-infinity(), -infinity()}, sum[2] = {0.f, 0.f};
        if (group < 0) {
          \(exchanges ? "give_registers<40>();" : "")
          produce(a, keyMap, valueMap, item, tile, rows[0].place, head, keys, values, positions,
              full, empty, turn\(usesTMA ? "" : ", sources"));
          \(exchanges ? "take_registers<168>();" : "")
        } else {
          \(exchanges ? "take_registers<232>();" : "")
          int own = group, band = warp;
          hold(own);
          hold(band);
          const float scale = \(scale);
          int low = 0x7fffffff, high = 0, from = 0, to = 0x7fffffff;
          for (int r = own * 64; r < own * 64 + 64; ++r) {
            if (rows[r].index < 0) continue;
            low = min(low, rows[r].first);
            high = max(high, rows[r].end);
            from = max(from, rows[r].first);
            to = min(to, rows[r].end);
          }
          for (int base = item.kvFirst; base < item.kvEnd; base += \(keys), ++turn) {
            const unsigned stage = turn % \(tile.stages);
            wait_for(full + stage * 8, turn / \(tile.stages) % 2);
            const int* place = positions + stage * \(keys);
            Half* here = values + stage * \(keys * valuePitch);
            const int count = min(item.kvEnd - base, \(keys));
            if (place[0] < high && place[count - 1] >= low) {
              \(clear.indented(by: 8))
              const bool all = count == \(keys) && place[0] >= from && place[count - 1] < to;
              float s[\(keys / 8)][4], factor[2];
              compute_scores(queries + own * 4096, keys + stage * \(keys * keyPitch), s);
              weigh(a, rows[band * 16 + lane / 4], rows[band * 16 + lane / 4 + 8], place, all, scale,
                  lane, s, top, sum, factor);
              weigh_values(here, s, factor, out);
            }
            arrive(empty + stage * 8);
          }
          // Outputs take the place of what both groups have read.
          synchronize_group(4, \(128 * tile.groups));
          store_part(band * 16, 0, lane, out, top, sum, (float*)memory);
          \(exchanges ? "give_registers<168>();" : "")
        }
        leave_tile(a, item, tile, rows, head, first, (float*)memory);
      }
      """
  }

  /// The kernel: barriers, a persistent block's work, the merge.
  func hopperEntry(_ tile: HopperTile) -> String {
    """
    extern "C" __global__ void __launch_bounds__(\(tile.threads), 1) attention(
        const __grid_constant__ Arguments a, const __grid_constant__ TensorMap keyMap,
        const __grid_constant__ TensorMap valueMap) {
      SHARED_MEMORY(memory);
      const SharedAddress full = shared_address(memory) + \(tile.bytes - 4 * tile.stages * 8);
      const SharedAddress empty = full + \(tile.stages * 8);
      if (threadIdx.x == 0) {
        for (int s = 0; s < \(tile.stages); ++s) {
          make_barrier(full + s * 8, 128);
          make_barrier(empty + s * 8, \(128 * tile.groups));
        }
        publish_barriers();
      }
      __syncthreads();
      unsigned turn = 0;
      for (int i = a.workerOffsets[blockIdx.x]; i < a.workerOffsets[blockIdx.x + 1]; ++i) {
        const WorkItem item = a.items[i];
        const QueryTile tile = a.tiles[item.tile];
        for (int head = item.firstHead; head < item.headEnd; ++head)
          for (int first = 0; first < tile.rowCount; first += \(tile.rows))
            attend(a, keyMap, valueMap, item, tile, head, first, memory, full, empty, turn);
      }
      merge(a, memory);
    }
    """
  }
}
