# JSON web keys, signatures and encryption, good ones and broken ones.
run = fn ->
  # with random numbers in signatures there is nothing to compare: these have none
  keys = [
    {%{"alg" => "HS256"}, :jose_jwk.from_oct("secret of some length, long enough for all of them")},
    {%{"alg" => "HS512"}, :jose_jwk.from_oct("another secret")},
    {%{"alg" => "EdDSA"},
     :jose_jwk.from_okp(
       {:Ed25519,
        :binary.copy(<<7>>, 32)
        |> then(
          &(elem(:crypto.generate_key(:eddsa, :ed25519, &1), 1) <>
              elem(:crypto.generate_key(:eddsa, :ed25519, &1), 0))
        )}
     )}
  ]

  signed =
    for {alg, key} <- keys, n <- 1..20 do
      caught.(fn ->
        {_, token} = :jose_jws.compact(:jose_jwt.sign(key, alg, %{"sub" => n, "list" => Enum.to_list(1..n)}))
        broken = binary_part(token, 0, byte_size(token) - 3) <> "abc"

        {token, caught.(fn -> :jose_jwt.verify(key, token) end),
         caught.(fn -> :jose_jwt.verify(key, broken) end),
         caught.(fn -> :jose_jwt.verify_strict(key, ["RS256"], token) end), :jose_jwt.peek(token)}
      end)
    end

  {_, whole} = hd(keys)
  wrong = for term <- ["", "a.b.c", "x", %{}, :none, 1], do: caught.(fn -> :jose_jwt.verify(whole, term) end)

  maps =
    for {_alg, key} <- keys,
        do:
          {:jose_jwk.to_map(key), caught.(fn -> :jose_jwk.thumbprint(key) end),
           caught.(fn -> :jose_jwk.to_public_map(key) end)}

  box =
    caught.(fn ->
      :jose_jwe.block_encrypt(
        :jose_jwk.from_oct(:binary.copy("k", 16)),
        "plain",
        :binary.copy("c", 16),
        :binary.copy("i", 12),
        %{"alg" => "dir", "enc" => "A128GCM"}
      )
    end)

  hashes = for name <- [:sha3_256, :shake256_512], do: caught.(fn -> apply(:jose_sha3, name, ["abc"]) end)
  curve = caught.(fn -> :jose_curve25519.eddsa_keypair(:binary.copy(<<1>>, 32)) end)

  software =
    caught.(fn ->
      :jose_jwa_curve25519.ed25519_sign(
        "m",
        elem(:jose_jwa_curve25519.ed25519_keypair(:binary.copy(<<1>>, 32)), 1)
      )
    end)

  {signed, wrong, maps, box, hashes, curve, software}
end

%{apps: [:jose], run: fn -> Application.ensure_all_started(:jose) && run.() end}
