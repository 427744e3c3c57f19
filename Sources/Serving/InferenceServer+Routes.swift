import HTTPTypes
import Hummingbird
import Inference
import Logging
import NIOCore
import Tokenizers

extension InferenceServer {
  /// The methods of each path, for errors and metrics.
  static let methods: [String: [HTTPRequest.Method]] = [
    "/": [.get], "/health": [.get], "/ready": [.get], "/metrics": [.get], "/v1/models": [.get],
    "/debug/integrity": [.get],
    "/v1/chat/completions": [.post], "/v1/completions": [.post], "/v1/embeddings": [.post],
    "/tokenize": [.post], "/detokenize": [.post],
  ]

  func makeRouter() -> Router<ServerContext> {
    let router = Router(context: ServerContext.self, options: [.autoGenerateHeadEndpoints])
    if let origin = options.corsOrigin {
      router.add(
        middleware: CORSMiddleware(
          allowOrigin: origin == "*" ? .all : .custom(origin),
          allowHeaders: [.accept, .authorization, .contentType, .origin],
          allowMethods: [.get, .post, .options, .head]))
    }
    router.add(
      middleware: ReportMiddleware(
        metrics: metrics, logger: logger, methods: Self.methods,
        isStopping: { self.isStopping }))
    router.get("/") { _, _ in
      var response = Response(ChatPage.html, type: "text/html; charset=utf-8")
      response.headers[.contentSecurityPolicy] = ChatPage.policy
      return response
    }
    router.get("/health") { _, _ in Response(["status": "ok"]) }
    router.get("/ready") { _, _ in
      if self.isStopping { throw APIError.overloaded("the server is shutting down", retryAfter: 5) }
      return Response(["status": "ready", "model": .string(self.served.name)])
    }
    router.get("/metrics") { _, _ in
      Response(self.metricsText, type: "text/plain; version=0.0.4; charset=utf-8")
    }
    let api = router.group().add(middleware: KeyMiddleware(keys: APIKeys(options.apiKeys)))
    api.get("/debug/integrity") { _, _ in
      do throws(EngineIntegrity) {
        try await self.engine.checkIntegrity()
      } catch {
        throw APIError.server(error.description)
      }
      return Response(["status": "ok"])
    }
    api.get("/v1/models") { _, _ in self.models() }
    api.get("/v1/models/**") { _, context in
      // A name may have slashes, as they are or escaped.
      let name = context.parameters.getCatchAll().joined(separator: "/")
        .replacing("%2F", with: "/").replacing("%2f", with: "/")
      try self.served.check(name, at: "model")
      return Response(self.modelCard(name))
    }
    post(api, "/v1/chat/completions") { try await self.chat($0, $1) }
    post(api, "/v1/completions") { try await self.completion($0, $1) }
    post(api, "/v1/embeddings") { try await self.embeddings($0, $1) }
    post(api, "/tokenize") { json, _ in
      let request = try TokenizeRequest(json, self.served)
      var members: [JSON.Member] = [
        .init("count", .integer(request.tokens.count)),
        .init("max_model_len", .integer(self.served.context)),
        .init("tokens", .array(request.tokens.map { .integer(Int($0)) })),
      ]
      if request.showsPieces {
        let pieces = request.tokens.map { JSON.string(self.served.tokenizer.piece(of: $0) ?? "") }
        members.append(.init("token_strs", .array(pieces)))
      }
      return Response(.object(members))
    }
    post(api, "/detokenize") { json, _ in
      let request = try DetokenizeRequest(json, self.served)
      return Response([
        "prompt": .string(self.served.tokenizer.decode(request.tokens, skipSpecial: false))
      ])
    }
    return router
  }

  /// A route for requests with a JSON body.
  private func post(
    _ group: RouterGroup<ServerContext>, _ path: RouterPath,
    _ handle: @escaping @Sendable (JSON, ServerContext) async throws -> Response
  ) {
    group.post(path) { request, context in
      try await handle(self.body(of: request), context)
    }
  }

  private func body(of request: Request) async throws -> JSON {
    // A page in a browser may send other types to any address without asking first.
    let type = request.headers[.contentType] ?? "missing"
    guard type.lowercased().prefix(while: { $0 != ";" && $0 != " " }) == "application/json" else {
      var error = APIError.invalid(
        nil, "the header 'Content-Type' is \(type.brief); expected application/json")
      error.status = .unsupportedMediaType
      throw error
    }
    let limit = options.limits.body
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
      throw APIError.tooLarge(limit: limit)
    }
    let buffer: ByteBuffer
    do {
      buffer = try await request.body.collect(upTo: limit)
    } catch let error as HTTPError where error.status == .contentTooLarge {
      throw APIError.tooLarge(limit: limit)
    } catch is NIOTooManyBytesError {
      throw APIError.tooLarge(limit: limit)
    }
    do {
      return try JSON(parsing: Array(buffer.readableBytesView))
    } catch {
      throw APIError.invalid(nil, "the request's body is not \(error)", code: "invalid_json")
    }
  }

  private func models() -> Response {
    Response(["object": "list", "data": .array(served.names.map { modelCard($0) })])
  }

  private func modelCard(_ name: String) -> JSON {
    [
      "id": .string(name), "object": "model", "created": .integer(served.created),
      "owned_by": "swift-attention", "root": .string(served.name),
      "max_model_len": .integer(served.context),
    ]
  }

  private func chat(_ json: JSON, _ context: ServerContext) async throws -> Response {
    let request = try ChatRequest(json, served)
    let job = GenerationJob(
      prompts: [request.prompt], fields: request.generation, logprobs: request.logprobs,
      constraint: try await constraint(request.generation.grammar), continuesPrompt: false,
      served: served)
    return try await answer(
      job, ChatAnswer(request, served), request.generation, context)
  }

  private func completion(_ json: JSON, _ context: ServerContext) async throws -> Response {
    let request = try CompletionRequest(json, served)
    let job = GenerationJob(
      prompts: request.prompts, fields: request.generation, logprobs: request.logprobs,
      promptLogprobs: request.echoes && request.logprobs != nil,
      constraint: try await constraint(request.generation.grammar), continuesPrompt: true,
      served: served)
    return try await answer(
      job, CompletionAnswer(request, served), request.generation, context)
  }

  private func answer(
    _ job: GenerationJob, _ answer: some Answer, _ fields: GenerationFields,
    _ context: ServerContext
  ) async throws -> Response {
    let presence = try await context.presence
    let start = ContinuousClock.now
    let run = try GenerationRun(
      job, on: engine, metrics: metrics, options: options, presence: presence,
      timers: context.channel.eventLoop)
    let ended: @Sendable (Usage, Bool) -> Void = { [logger] usage, isWhole in
      presence.whenLeft(nil)
      logger.info(
        "answer",
        metadata: [
          "id": "\(answer.header.id)", "prompt_tokens": "\(usage.promptTokens)",
          "cached_tokens": "\(usage.cachedTokens)",
          "completion_tokens": "\(usage.completionTokens)", "whole": "\(isWhole)",
          "ms": "\(Int((ContinuousClock.now - start) / .milliseconds(1)))",
        ])
    }
    if fields.streams {
      return EventStream.response(
        run, answer: answer, usage: fields.usage, promptLengths: job.prompts.map(\.count),
        ended: ended)
    }
    var usage = Usage()
    var isWhole = false
    defer { ended(usage, isWhole) }
    let (body, cost) = try await EventStream.collect(run, answer: answer)
    usage = cost
    isWhole = true
    return Response(body)
  }

  private func embeddings(_ json: JSON, _ context: ServerContext) async throws -> Response {
    let request = try EmbeddingRequest(json, served)
    let vectors: [[Float]]
    do throws(EngineFailure) {
      vectors = try await engine.embed(request.prompts)
    } catch {
      throw APIError(error)
    }
    let data = vectors.enumerated().map { i, vector -> JSON in
      [
        "object": "embedding", "index": .integer(i),
        "embedding": request.isBase64
          ? .string(Base64.encode(littleEndian: vector)) : .array(vector.map { JSON($0) }),
      ]
    }
    let tokens = request.prompts.reduce(0) { $0 + $1.count }
    return Response([
      "object": "list", "data": .array(data), "model": .string(served.name),
      "usage": ["prompt_tokens": .integer(tokens), "total_tokens": .integer(tokens)],
    ])
  }
}
