internal import Devices
internal import Tensors

// Tiles of 16 to 128 rows on tensor cores: mma.sync m16n8k16 over swizzled shared memory, which
// cp.async fills one tile of keys ahead.
//
// A warp has sixteen rows. Where there are few rows, warps share a tile's keys, each with a softmax
// of its own that is joined at the end; where values are long, warps share their columns.
extension CUDAAttentionKernel {
  var tensorFunctions: [String] {
    guard let tile = tensorTile else { return [] }
    return [
      formats, swizzle, loadQueries(rows: tile.rowWarps * 16, extent: keyPitch),
      loadTile(keys: tile.keys, loaders: tile.threads, extents: (keyPitch, valuePitch)),
      scores(tile), weigh(columns: warpKeys(tile) / 8), weighValues(tile),
      leaveTile(
        rowWarps: tile.rowWarps, keyWarps: tile.keyWarps, columns: valueColumns(tile)),
      attendTensor(tile),
    ]
  }

  /// Whether stored elements are what the products read.
  func copies(_ kind: Functor.Kind, _ dimension: Int) -> Bool {
    storedType.blockBytes == 2 && dimension % 8 == 0 && !has(kind)
  }

  /// Where a chunk of eight elements lies: neighbouring rows' equal chunks in different banks.
  private var swizzle: String {
    """
    __device__ inline int swizzled(int row, int chunk, int pitch) {
      return row * pitch + (chunk ^ (row & 7)) * 8;
    }
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
  func loadQueries(rows: Int, extent: Int) -> String {
    let chunks = keyPitch / 8
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
          uint4* to = (uint4*)(queries + swizzled(i / \(chunks), chunk, \(extent)));
          to->x = pairs[0]; to->y = pairs[1]; to->z = pairs[2]; to->w = pairs[3];
        }
      }
      """
  }

  /// A tile of keys and values on their way into shared memory; zeros behind the chunk's end.
  func loadTile(keys: Int, loaders: Int, extents: (key: Int, value: Int)) -> String {
    func load(_ kind: Functor.Kind, _ dimension: Int, _ pitch: Int, _ extent: Int) -> String {
      let (name, chunks) = (kind.rawValue, pitch / 8)
      let body =
        copies(kind, dimension)
        ? """
        copy_async(shared_address(to), from + (d < \(dimension) ? d : 0), valid && d < \(dimension));
        """
        : """
        float x[8];
        #pragma unroll
        for (int e = 0; e < 8; ++e)
          x[e] = valid && d + e < \(dimension) ? \(name)(a, p, from, d + e) : 0.f;
        uint4 bits;
        bits.x = pack(x[0], x[1]); bits.y = pack(x[2], x[3]);
        bits.z = pack(x[4], x[5]); bits.w = pack(x[6], x[7]);
        *(uint4*)to = bits;
        """
      return """
        #pragma unroll \(hopperTile == nil ? 2 : 1)
        for (int i = threadIdx.x; i < \(keys * chunks); i += \(loaders)) {
          const int number = i / \(chunks), d = i % \(chunks) * 8;
          const bool valid = base + number < item.kvEnd;
          const Slot slot = locate(a, tile, valid ? base + number : item.kvFirst);
          const Stored* from = \(name)_row(a, slot, head);
          Half* to = \(name)s + swizzled(number, d / 8, \(extent));
          Place p = place;
          p.kv = slot.position;
          \(body.indented(by: 2))
        }
        """
    }
    return """
      __device__ inline void load_tile(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, const Place& place,
          int head, int base, Half* keys, Half* values, int* positions) {
        \(load(.key, shape.headDimension, keyPitch, extents.key).indented(by: 2))
        \(load(.value, shape.valueDimension, valuePitch, extents.value).indented(by: 2))
        for (int i = threadIdx.x; i < \(keys); i += \(loaders))
          positions[i] = base + i < item.kvEnd ? locate(a, tile, base + i).position : -1;
        commit_copies();
      }
      """
  }

  /// Keys of a warp.
  private func warpKeys(_ tile: TensorTile) -> Int { tile.keys / tile.keyWarps }

  /// S = Q·Kᵀ of a warp's rows and keys.
  private func scores(_ tile: TensorTile) -> String {
    let columns = warpKeys(tile) / 8
    let steps = (shape.headDimension + 15) / 16
    return """
      __device__ inline void compute_scores(
          const Half* queries, const Half* keys, int lane, float (&s)[\(columns)][4]) {
        #pragma unroll
        for (int j = 0; j < \(columns); ++j) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0.f;
        #pragma unroll \(min(steps, shape.valueDimension > 192 ? 2 : 8))
        for (int k = 0; k < \(steps); ++k) {
          unsigned q[4];
          load_matrices(q, shared_address(
              queries + swizzled(lane % 16, 2 * k + lane / 16, \(keyPitch))));
          #pragma unroll
          for (int j = 0; j < \(columns); j += 2) {
            unsigned b[4];
            load_matrices(b, shared_address(keys + swizzled(
                j * 8 + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2, \(keyPitch))));
            multiply(s[j], q, b[0], b[1]);
            multiply(s[j + 1], q, b[2], b[3]);
          }
        }
      }
      """
  }

  /// The variant and the online softmax on a warp's scores: rows lane / 4 and lane / 4 + 8.
  func weigh(columns: Int) -> String {
    let softmax = """
      float high = top[h];
      #pragma unroll
      for (int j = 0; j < \(columns); ++j) high = fmaxf(high, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
      const float base = high > -infinity() ? high : 0.f;
      factor[h] = expf(top[h] - base);
      top[h] = high;
      sum[h] *= factor[h];
      #pragma unroll
      for (int j = 0; j < \(columns); ++j)
        #pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i) {
          s[j][i] = expf(s[j][i] - base);
          sum[h] += s[j][i];
        }
      """
    return """
      __device__ inline void weigh(
          const Arguments& a, const Row* rows, const int* positions, bool full, float scale,
          int lane, float (&s)[\(columns)][4], float (&top)[2], float (&sum)[2],
          float (&factor)[2]) {
        #pragma unroll
        for (int h = 0; h < 2; ++h) {
          const Row& row = rows[lane / 4 + 8 * h];
          #pragma unroll
          for (int j = 0; j < \(columns); ++j)
            #pragma unroll
            for (int i = 0; i < 2; ++i) {
              Place p = row.place;
              p.kv = positions[j * 8 + lane % 4 * 2 + i];
              float& x = s[j][2 * h + i];
              const bool sees = (full || (p.kv >= row.first && p.kv < row.end)) && mask(a, p);
              x = sees ? logits(a, p, x * scale) : \(variant.usesSoftmax ? "-infinity()" : "0.f");
            }
          \((variant.usesSoftmax ? softmax : "factor[h] = 1.f;").indented(by: 4))
        }
      }
      """
  }

  /// O = factor·O + P·V of a warp's rows, keys and columns.
  private func weighValues(_ tile: TensorTile) -> String {
    let columns = warpKeys(tile) / 8
    let outputs = valueColumns(tile) / 8
    return """
      __device__ inline void weigh_values(
          const Half* values, int chunk, int lane, const float (&s)[\(columns)][4],
          const float (&factor)[2], float (&out)[\(outputs)][4]) {
        #pragma unroll
        for (int j = 0; j < \(outputs); ++j) {
          out[j][0] *= factor[0];
          out[j][1] *= factor[0];
          out[j][2] *= factor[1];
          out[j][3] *= factor[1];
        }
        #pragma unroll
        for (int k = 0; k < \(columns); k += 2) {
          const unsigned p[4] = {
              pack(s[k][0], s[k][1]), pack(s[k][2], s[k][3]),
              pack(s[k + 1][0], s[k + 1][1]), pack(s[k + 1][2], s[k + 1][3])};
          #pragma unroll
          for (int j = 0; j < \(outputs); j += 2) {
            unsigned b[4];
            load_matrices_transposed(b, shared_address(values + swizzled(
                k * 8 + lane % 16, chunk + j + lane / 16, \(valuePitch))));
            multiply(out[j], p, b[0], b[1]);
            multiply(out[j + 1], p, b[2], b[3]);
          }
        }
      }
      """
  }

  /// The warps' outputs joined, sixteen rows at a time, and out.
  func leaveTile(rowWarps: Int, keyWarps: Int, columns: Int) -> String {
    let n = shape.valueDimension
    return """
      __device__ inline void leave_tile(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, const Row* rows,
          int head, int first, int rowWarp, int keyWarp, int valueWarp, int lane,
          const float (&out)[\(columns / 8)][4], float (&top)[2], float (&sum)[2], float* outputs) {
        float* tops = outputs + \(keyWarps * 16 * n);
        float* sums = tops + \(keyWarps * 16);
        for (int w = 0; w < \(rowWarps); ++w) {
          if (w == rowWarp) {
            #pragma unroll
            for (int h = 0; h < 2; ++h) {
              const int r = keyWarp * 16 + lane / 4 + 8 * h;
              #pragma unroll
              for (int j = 0; j < \(columns / 8); ++j)
                #pragma unroll
                for (int i = 0; i < 2; ++i) {
                  const int d = valueWarp * \(columns) + j * 8 + lane % 4 * 2 + i;
                  if (d < \(n)) outputs[r * \(n) + d] = out[j][2 * h + i];
                }
              float all = sum[h] + __shfl_xor_sync(0xffffffffu, sum[h], 1);
              all += __shfl_xor_sync(0xffffffffu, all, 2);
              if (valueWarp == 0 && lane % 4 == 0) {
                tops[r] = top[h];
                sums[r] = all;
              }
            }
          }
          __syncthreads();
          if (first + w * 16 < tile.rowCount) {
            join_parts(a, head, \(keyWarps), 16, outputs, tops, sums);
            leave_rows(a, item, tile, rows + w * 16, head, first + w * 16, 16, outputs, sums);
          }
          __syncthreads();
        }
      }
      """
  }

  /// One pass's rows against one chunk of keys of one head.
  private func attendTensor(_ tile: TensorTile) -> String {
    let rows = tile.rowWarps * 16
    let loop = rows * keyPitch * 2 + tile.stages * tile.keys * (keyPitch + valuePitch) * 2
    let join = tile.keyWarps * 16 * (shape.valueDimension + 2) * 4
    let places = (max(loop, join) + 15) / 16 * 16
    let (keys, columns) = (warpKeys(tile), valueColumns(tile))
    let scale = "\(variant.scale(for: shape))f" + (has(.key) ? "" : " * a.keyScales[head]")
    let arguments = "a, item, tile, rows[0].place, head"
    func stage(_ s: String) -> String {
      "keys + (\(s)) * \(tile.keys * keyPitch), values + (\(s)) * \(tile.keys * valuePitch), "
        + "positions + (\(s)) * \(tile.keys)"
    }
    let ahead =
      tile.stages == 2
      ? """
      if (base + \(tile.keys) < item.kvEnd) {
        load_tile(\(arguments), base + \(tile.keys), \(stage("turn ^ 1")));
        wait_copies<1>();
      } else {
        wait_copies<0>();
      }
      """
      : """
      load_tile(\(arguments), base, \(stage("0")));
      wait_copies<0>();
      """
    return """
      __device__ void attend(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, int head, int first,
          unsigned char* memory) {
        Half* queries = (Half*)memory;
        Half* keys = queries + \(rows * keyPitch);
        Half* values = keys + \(tile.stages * tile.keys * keyPitch);
        int* positions = (int*)(memory + \(places));
        Row* rows = (Row*)(positions + \(tile.stages * tile.keys));
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int rowWarp = warp / \(tile.keyWarps * tile.valueWarps);
        const int keyWarp = warp / \(tile.valueWarps) % \(tile.keyWarps);
        const int valueWarp = warp % \(tile.valueWarps);
        const float scale = \(scale);
        place_rows(a, tile, head, first, \(rows), rows);
        __syncthreads();
        load_queries(a, rows, queries);
        \(tile.stages == 2 ? "if (item.kvFirst < item.kvEnd)\n    load_tile(\(arguments), item.kvFirst, \(stage("0")));" : "")

        // What all rows of this warp see, and what none does.
        int low = 0x7fffffff, high = 0, from = 0, to = 0x7fffffff;
        for (int r = rowWarp * 16; r < rowWarp * 16 + 16; ++r) {
          if (rows[r].index < 0) continue;
          low = min(low, rows[r].first);
          high = max(high, rows[r].end);
          from = max(from, rows[r].first);
          to = min(to, rows[r].end);
        }

        float out[\(columns / 8)][4];
        #pragma unroll
        for (int j = 0; j < \(columns / 8); ++j) out[j][0] = out[j][1] = out[j][2] = out[j][3] = 0.f;
        float top[2] = {-infinity(), -infinity()}, sum[2] = {0.f, 0.f};
        int turn = 0;
        for (int base = item.kvFirst; base < item.kvEnd; base += \(tile.keys)) {
          \(ahead.indented(by: 4))
          __syncthreads();
          const int* here = positions + turn * \(tile.keys) + keyWarp * \(keys);
          const int count = min(item.kvEnd - base - keyWarp * \(keys), \(keys));
          if (count > 0 && here[0] < high && here[count - 1] >= low) {
            const bool full = count == \(keys) && here[0] >= from && here[count - 1] < to;
            float s[\(keys / 8)][4], factor[2];
            compute_scores(queries + rowWarp * \(16 * keyPitch),
                keys + turn * \(tile.keys * keyPitch) + keyWarp * \(keys * keyPitch), lane, s);
            weigh(a, rows + rowWarp * 16, here, full, scale, lane, s, top, sum, factor);
            weigh_values(
                values + turn * \(tile.keys * valuePitch) + keyWarp * \(keys * valuePitch),
                valueWarp * \(columns / 8), lane, s, factor, out);
          }
          __syncthreads();
          \(tile.stages == 2 ? "turn ^= 1;" : "")
        }
        // Outputs take the queries' place, which a chunk without keys has not read.
        __syncthreads();
        leave_tile(a, item, tile, rows, head, first, rowWarp, keyWarp, valueWarp, lane, out, top, sum,
            (float*)memory);
      }
      """
  }
}
