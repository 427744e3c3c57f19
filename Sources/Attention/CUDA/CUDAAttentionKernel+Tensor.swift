internal import Devices
internal import Tensors

// Tiles of 16 to 128 rows on tensor cores: mma.sync m16n8k16 over shared memory that cp.async fills
// several tiles of keys ahead.
//
// A warp has sixteen rows. The warps of a tile's rows are a pipeline; where rows are few there are
// several, each with a softmax of its own over every n-th tile of keys, joined at the end. A pipeline of
// one warp meets no barrier on its way. Where values are long, warps share their columns.
extension CUDAAttentionKernel {
  var tensorFunctions: [String] {
    guard let tile = tensorTile else { return [] }
    return [
      formats, paddedRows,
      loadQueries(
        rows: tile.rowWarps * 16, columns: keyRows.columns,
        extent: paddedPitch(keyRows)),
    ]
      + copyFunctions(
        keys: tile.keys, loaders: tile.warps * 32,
        extents: (paddedPitch(keyRows), paddedPitch(valueRows)))
      + [
        scores(tile), weigh(columns: tile.keys / 8), weighValues(tile),
        leaveTile(
          rows: tile.rowWarps * 16 / tile.rounds, parts: tile.pipelines,
          columns: valueColumns(tile)),
        attendTensor(tile),
      ]
  }

  /// Where a chunk of eight elements lies.
  private var paddedRows: String {
    """
    __device__ inline int chunk_at(int row, int chunk, int pitch) { return row * pitch + chunk * 8; }
    """
  }

  /// The products' 16-bit format.
  var formats: String {
    let format = storedType == .bfloat16 ? "bf16" : "f16"
    return """
      __device__ inline unsigned pack(float low, float high) { return pack_\(format)(low, high); }
      __device__ inline void multiply(
          float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        multiply_\(format)(c, a, b0, b1);
      }
      typedef unsigned short Half;
      """
  }

  /// The rows' queries into shared memory; zeros for rows that do not exist.
  func loadQueries(rows: Int, columns: Int, extent: Int) -> String {
    let chunks = columns / 8
    return """
      __device__ inline void load_queries(const Arguments& a, const Row* rows, Half* queries) {
        #pragma unroll 1
        for (int i = threadIdx.x; i < \(rows * chunks); i += blockDim.x) {
          const Row& row = rows[i / \(chunks)];
          const int chunk = i % \(chunks);
          unsigned pairs[4] = {0u, 0u, 0u, 0u};
          if (row.index >= 0) {
            const Query* from = a.queries + row.index * a.queryStride
                + row.place.queryHead * \(shape.headDimension);
            float x[8];
            #pragma unroll
            for (int e = 0; e < 8; ++e) {
              const int d = chunk * 8 + e;
              x[e] = d < \(shape.headDimension) ? query(a, row.place, from, d) : 0.f;
            }
            #pragma unroll
            for (int e = 0; e < 4; ++e) pairs[e] = pack(x[2 * e], x[2 * e + 1]);
          }
          uint4* to = (uint4*)(queries + chunk_at(i / \(chunks), chunk, \(extent)));
          to->x = pairs[0]; to->y = pairs[1]; to->z = pairs[2]; to->w = pairs[3];
        }
      }
      """
  }

  /// Steps of the product of queries and keys, and whether a warp's queries are kept in registers.
  private var scoreSteps: Int { keyRows.columns / 16 }
  private var keepsQueries: Bool { scoreSteps <= 8 && shape.valueDimension <= 128 }

  /// S = Q·Kᵀ of a warp's rows and a tile's keys.
  private func scores(_ tile: TensorTile) -> String {
    let (columns, pitch) = (tile.keys / 8, paddedPitch(keyRows))
    let load = """
      load_matrices(q\(keepsQueries ? "[k]" : ""),
          shared_address(queries + chunk_at(lane % 16, 2 * k + lane / 16, \(pitch))));
      """
    let keep = """
      __device__ inline void keep_queries(
          const Half* queries, int lane, unsigned (&q)[\(scoreSteps)][4]) {
        #pragma unroll
        for (int k = 0; k < \(scoreSteps); ++k)
          \(load.indented(by: 4))
      }
      """
    return """
      \(keepsQueries ? keep : "")
      __device__ inline void compute_scores(
          \(keepsQueries ? "const unsigned (&q)[\(scoreSteps)][4]" : "const Half* queries"),
          const Half* keys, int lane, float (&s)[\(columns)][4]) {
        #pragma unroll
        for (int j = 0; j < \(columns); ++j) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0.f;
        #pragma unroll \(min(scoreSteps, shape.valueDimension > 192 ? 2 : 8))
        for (int k = 0; k < \(scoreSteps); ++k) {
          \(keepsQueries ? "" : "unsigned q[4];\n    " + load.indented(by: 4))
          #pragma unroll
          for (int j = 0; j < \(columns); j += 2) {
            unsigned b[4];
            load_matrices(b, shared_address(keys + chunk_at(
                j * 8 + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2, \(pitch))));
            multiply(s[j], q\(keepsQueries ? "[k]" : ""), b[0], b[1]);
            multiply(s[j + 1], q\(keepsQueries ? "[k]" : ""), b[2], b[3]);
          }
        }
      }
      """
  }

  /// The variant and the online softmax on a warp's scores: rows lane / 4 and lane / 4 + 8.
  func weigh(columns: Int) -> String {
    let none = variant.usesSoftmax ? "-infinity()" : "0.f"
    let softmax = """
      float high = top[h];
      #pragma unroll
      for (int j = 0; j < \(columns); ++j) high = fmaxf(high, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
      const float base = high > -infinity() ? high : 0.f;
      factor[h] = exponential(top[h] - base);
      top[h] = high;
      sum[h] *= factor[h];
      #pragma unroll
      for (int j = 0; j < \(columns); ++j)
        #pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i) {
          s[j][i] = exponential(s[j][i] - base);
          sum[h] += s[j][i];
        }
      """
    func forEach(_ body: String) -> String {
      """
      #pragma unroll
      for (int j = 0; j < \(columns); ++j)
        #pragma unroll
        for (int i = 0; i < 2; ++i) {
          \(body.indented(by: 4))
        }
      """
    }
    // A variant that asks nothing of a score's place costs a tile that all rows see one product.
    let isPlain = variant.logitsExpression == .score && bounds.residual == nil
    let look =
      isPlain
      ? """
      \(forEach("s[j][2 * h + i] *= scale;"))
      if (!full) {
        \(forEach("""
          const int kv = positions[j * 8 + lane % 4 * 2 + i];
          if (kv < row.first || kv >= row.end) s[j][2 * h + i] = \(none);
          """).indented(by: 2))
      }
      """
      : forEach(
        """
        Place p = row.place;
        p.kv = positions[j * 8 + lane % 4 * 2 + i];
        float& x = s[j][2 * h + i];
        const bool sees = (full || (p.kv >= row.first && p.kv < row.end)) && mask(a, p);
        x = sees ? logits(a, p, x * scale) : \(none);
        """)
    return """
      __device__ inline void weigh(
          const Arguments& a, const Row& upper, const Row& lower, const int* positions, bool full,
          float scale, int lane, float (&s)[\(columns)][4], float (&top)[2], float (&sum)[2],
          float (&factor)[2]) {
        #pragma unroll
        for (int h = 0; h < 2; ++h) {
          const Row& row = h == 0 ? upper : lower;
          \(look.indented(by: 4))
          \((variant.usesSoftmax ? softmax : "factor[h] = 1.f;").indented(by: 4))
        }
      }
      """
  }

  /// Old outputs by their rows' factors, where any of the warp's rows has found a larger score.
  func rescale(_ count: Int) -> String {
    variant.usesSoftmax
      ? """
      if (__any_sync(0xffffffffu, factor[0] != 1.f || factor[1] != 1.f)) {
        #pragma unroll
        for (int j = 0; j < \(count); ++j) {
          out[j][0] *= factor[0];
          out[j][1] *= factor[0];
          out[j][2] *= factor[1];
          out[j][3] *= factor[1];
        }
      }
      """ : ""
  }

  /// O = factor·O + P·V of a warp's rows and columns, and a tile's keys.
  private func weighValues(_ tile: TensorTile) -> String {
    let (columns, outputs) = (tile.keys / 8, valueColumns(tile) / 8)
    return """
      __device__ inline void weigh_values(
          const Half* values, int chunk, int lane, const float (&s)[\(columns)][4],
          const float (&factor)[2], float (&out)[\(outputs)][4]) {
        \(rescale(outputs).indented(by: 2))
        #pragma unroll
        for (int k = 0; k < \(columns); k += 2) {
          const unsigned p[4] = {
              pack(s[k][0], s[k][1]), pack(s[k][2], s[k][3]),
              pack(s[k + 1][0], s[k + 1][1]), pack(s[k + 1][2], s[k + 1][3])};
          #pragma unroll
          for (int j = 0; j < \(outputs); j += 2) {
            unsigned b[4];
            load_matrices_transposed(b, shared_address(values + chunk_at(
                k * 8 + lane % 16, chunk + j + lane / 16, \(paddedPitch(valueRows)))));
            multiply(out[j], p, b[0], b[1]);
            multiply(out[j + 1], p, b[2], b[3]);
          }
        }
      }
      """
  }

  /// A warp's outputs into shared memory; then all of them joined, and out.
  ///
  /// Parts of all rows follow each other, and behind them their maxima and sums.
  func leaveTile(rows: Int, parts: Int, columns: Int) -> String {
    let n = shape.valueDimension
    let exists = columns * (shape.valueDimension > 256 ? 4 : 1) == n ? "" : "if (d < \(n)) "
    return """
      __device__ inline void store_part(
          int row, int column, int lane, const float (&out)[\(columns / 8)][4],
          const float (&top)[2], const float (&sum)[2], float* outputs) {
        float* tops = outputs + \(parts * rows * n);
        float* sums = tops + \(parts * rows);
        #pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int r = row + lane / 4 + 8 * h;
          #pragma unroll
          for (int j = 0; j < \(columns / 8); ++j)
            #pragma unroll
            for (int i = 0; i < 2; ++i) {
              const int d = column + j * 8 + lane % 4 * 2 + i;
              \(exists)outputs[r * \(n) + d] = out[j][2 * h + i];
            }
          float all = sum[h] + __shfl_xor_sync(0xffffffffu, sum[h], 1);
          all += __shfl_xor_sync(0xffffffffu, all, 2);
          if (column == 0 && lane % 4 == 0) {
            tops[r] = top[h];
            sums[r] = all;
          }
        }
      }
      __device__ inline void leave_tile(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, const Row* rows,
          int head, int first, float* outputs) {
        float* tops = outputs + \(parts * rows * n);
        float* sums = tops + \(parts * rows);
        __syncthreads();
        join_parts(a, head, \(parts), \(rows), outputs, tops, sums);
        leave_rows(a, item, tile, rows, head, first, \(rows), outputs, sums);
        __syncthreads();
      }
      """
  }

  /// One pass's rows against one chunk of keys of one head.
  private func attendTensor(_ tile: TensorTile) -> String {
    let (rows, keys, columns) = (tile.rowWarps * 16, tile.keys, valueColumns(tile))
    let (memory, stages, ring) = (tile.memory, tile.stages, tile.ring)
    let leaving = rows / tile.rounds
    let scale = "\(variant.scale(for: shape))f" + (has(.key) ? "" : " * a.keyScales[head]")
    // All of a pipeline have come here.
    let meet =
      tile.warps == 1
      ? "__syncwarp();"
      : tile.pipelines == 1
        ? "__syncthreads();" : "synchronize_group(1 + pipeline, \(tile.warps * 32));"
    let kinds = [(keyRows, "0", "Keys"), (valueRows, "\(memory.stageKeys)", "Values")]
    let fetches = kinds.filter { $0.0.way != .read }.map {
      "fetch_\($0.0.name)s(from, to + \($0.1), member);"
    }
    let conversions = kinds.filter { $0.0.way != .copied }.map { rows, offset, _ in
      """
      convert_\(rows.name)s(a, rows[0].place, stage + \(offset), sources + turn * \(keys), here,
          (Half*)(own + \(rows.kind == .key ? memory.convertedKeys : memory.convertedValues)), member);
      """
    }
    func operand(_ rows: StoredRows, _ offset: Int, _ converted: Int) -> String {
      rows.way == .copied ? "(const Half*)(stage + \(offset))" : "(const Half*)(own + \(converted))"
    }
    let fetch = """
      const int arriving = base + \((stages - 1) * keys * tile.pipelines);
      if (arriving >= begin && arriving < item.kvEnd) {
        const Source* from = sources + \(wrapped("turn", stages - 1, ring)) * \(keys);
        const SharedAddress to = shared_address(own)
            + \(stages == 1 ? "0" : wrapped("slot", stages - 1, stages)) * \(memory.stage);
        \(fetches.joined(separator: "\n    "))
      }
      commit_copies();
      """
    let wait =
      stages == 1
      ? "\(meet)\n\(fetch)\nwait_copies<0>();\n\(meet)"
      : "wait_copies<\(stages - 2)>();\n\(meet)\n\(fetch)"
    return """
      __device__ void attend(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, int head, int first,
          unsigned char* memory) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int pipeline = warp / \(tile.warps), member = threadIdx.x % \(tile.warps * 32);
        const int rowWarp = warp % \(tile.warps) / \(tile.valueWarps);
        const int valueWarp = warp % \(tile.valueWarps);
        Half* queries = (Half*)memory;
        unsigned char* own = memory + \(memory.queries) + pipeline * \(memory.pipeline);
        Source* sources = (Source*)(memory + \(memory.sources)) + pipeline * \(ring * keys);
        int* positions = (int*)(memory + \(memory.positions)) + pipeline * \(ring * keys);
        Row* rows = (Row*)(memory + \(memory.rows));
        const float scale = \(scale);
        const int begin = item.kvFirst + pipeline * \(keys);

        Row upper, lower;
        \(keepsQueries ? "unsigned q[\(scoreSteps)][4];" : "")
        float out[\(columns / 8)][4];
        float top[2] = {-infinity(), -infinity()}, sum[2] = {0.f, 0.f};
        #pragma unroll
        for (int j = 0; j < \(columns / 8); ++j) out[j][0] = out[j][1] = out[j][2] = out[j][3] = 0.f;
        // What all rows of this warp see, and what none does.
        int low = 0x7fffffff, high = 0, from = 0, to = 0x7fffffff;

        // A tile's keys are looked up \(stages) turns before they are multiplied, and fetched in the next.
        int slot = 0, turn = 1;
        for (int base = begin - \(stages * keys * tile.pipelines); base < item.kvEnd;
             base += \(keys * tile.pipelines)) {
          const int next = base + \(stages * keys * tile.pipelines);
          const bool looks = next < item.kvEnd && member < \(keys);
          Slot found;
          if (looks) found = locate(a, tile, min(next + member, item.kvEnd - 1));
          \(wait.indented(by: 4))
          if (base == begin - \(keys * tile.pipelines)) {
            // While the first tiles are on their way.
            place_rows(a, tile, head, first, \(rows), rows);
            __syncthreads();
            load_queries(a, rows, queries);
            for (int r = rowWarp * 16; r < rowWarp * 16 + 16; ++r) {
              if (rows[r].index < 0) continue;
              low = min(low, rows[r].first);
              high = max(high, rows[r].end);
              from = max(from, rows[r].first);
              to = min(to, rows[r].end);
            }
            upper = rows[rowWarp * 16 + lane / 4];
            lower = rows[rowWarp * 16 + lane / 4 + 8];
            __syncthreads();
            \(keepsQueries ? "keep_queries(queries + rowWarp * \(16 * paddedPitch(keyRows)), lane, q);" : "")
          }
          if (base >= begin) {
            const unsigned char* stage = own + slot * \(memory.stage);
            const int* here = positions + turn * \(keys);
            const int count = min(item.kvEnd - base, \(keys));
            \((conversions + (conversions.isEmpty ? [] : [meet])).joined(separator: "\n").indented(by: 6))
            if (here[0] < high && here[count - 1] >= low) {
              const bool full = count == \(keys) && here[0] >= from && here[count - 1] < to;
              float s[\(keys / 8)][4], factor[2];
              compute_scores(\(keepsQueries ? "q" : "queries + rowWarp * \(16 * paddedPitch(keyRows))"),
                  \(operand(keyRows, 0, memory.convertedKeys)), lane, s);
              weigh(a, upper, lower, here, full, scale, lane, s, top, sum, factor);
              weigh_values(\(operand(valueRows, memory.stageKeys, memory.convertedValues)),
                  valueWarp * \(columns / 8), lane, s, factor, out);
            }
          }
          if (looks) {
            const int at = \(wrapped("turn", stages, ring)) * \(keys) + member;
            put(a, found, head, next + member < item.kvEnd, sources[at], positions[at]);
          }
          slot = \(wrapped("slot", 1, stages));
          turn = \(wrapped("turn", 1, ring));
        }
        // Outputs take the queries' place, which a chunk without keys has not read.
        __syncthreads();
        for (int round = 0; round < \(tile.rounds); ++round) {
          if (rowWarp / \(tile.rowWarps / tile.rounds) == round)
            store_part(pipeline * \(leaving) + rowWarp * 16 % \(leaving), valueWarp * \(columns), lane,
                out, top, sum, (float*)memory);
          leave_tile(a, item, tile, rows + round * \(leaving), head, first + round * \(leaving),
              (float*)memory);
        }
      }
      """
  }

  /// A counter further on, back from a ring's end to its beginning.
  private func wrapped(_ counter: String, _ steps: Int, _ count: Int) -> String {
    "(\(counter) < \(count - steps) ? \(counter) + \(steps) : \(counter) - \(count - steps))"
  }
}
