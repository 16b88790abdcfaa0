Require Import Reals ZArith Lia Lra Field FunctionalExtensionality.
Open Scope R_scope.

(* Sums over 0 <= i < n, for an integer n; nothing is summed where n <= 0. *)
Fixpoint below (k : nat) (f : Z -> R) : R :=
  match k with O => 0 | S k => below k f + f (Z.of_nat k) end.
Definition sum (n : Z) (f : Z -> R) : R := below (Z.to_nat n) f.

(* 1 where a condition holds, and 0 elsewhere; one of two values by a condition. *)
Definition b2r (c : bool) : R := if c then 1 else 0.
Definition sel (c : bool) (x y : R) : R := if c then x else y.
Definition rlt (x y : R) : bool := if Rlt_dec x y then true else false.
Definition req (x y : R) : bool := if Req_EM_T x y then true else false.

Lemma below_ext : forall k f g, (forall i, (0 <= i < Z.of_nat k)%Z -> f i = g i) -> below k f = below k g.
Proof.
  induction k as [| k IH]; intros f g H; [reflexivity |].
  simpl below. rewrite (IH f g), (H (Z.of_nat k)); [reflexivity | lia |].
  intros i Hi. apply H. lia.
Qed.

Lemma sum_ext : forall n f g, (forall i, (0 <= i < n)%Z -> f i = g i) -> sum n f = sum n g.
Proof. intros n f g H. apply below_ext. intros i Hi. apply H. lia. Qed.

Lemma sum_zero : forall n, sum n (fun _ : Z => 0) = 0.
Proof. intro n. unfold sum. induction (Z.to_nat n) as [| k IH]; [reflexivity | simpl; rewrite IH; ring]. Qed.

Lemma sum_add : forall n f g, sum n (fun i => f i + g i) = sum n f + sum n g.
Proof. intros n f g. unfold sum. induction (Z.to_nat n) as [| k IH]; simpl; [ring | rewrite IH; ring]. Qed.

Lemma sum_scale : forall n c f, sum n (fun i => c * f i) = c * sum n f.
Proof. intros n c f. unfold sum. induction (Z.to_nat n) as [| k IH]; simpl; [ring | rewrite IH; ring]. Qed.

Lemma sum_swap : forall n m f, sum n (fun i => sum m (fun j => f i j)) = sum m (fun j => sum n (fun i => f i j)).
Proof.
  intros n m f. unfold sum at 1 4. induction (Z.to_nat n) as [| k IH]; simpl.
  - symmetry. apply sum_zero.
  - rewrite IH. symmetry. apply (sum_add m (fun j => below k (fun i => f i j)) (fun j => f (Z.of_nat k) j)).
Qed.

Lemma sum_const : forall n c, (0 <= n)%Z -> sum n (fun _ : Z => c) = IZR n * c.
Proof.
  intros n c H. unfold sum. rewrite <- (Z2Nat.id n H) at 2.
  induction (Z.to_nat n) as [| k IH]; [simpl; ring |].
  rewrite Nat2Z.inj_succ, succ_IZR. simpl below. rewrite IH. ring.
Qed.

Lemma inverse_power : forall x k, / (x ^ k) = (/ x) ^ k.
Proof. intros x k. induction k as [| k IH]; simpl; [apply Rinv_1 | rewrite Rinv_mult, IH; reflexivity]. Qed.

Lemma exp_times : forall k x, exp (INR k * x) = exp x ^ k.
Proof.
  intros k x. induction k as [| k IH]; [simpl; rewrite Rmult_0_l; apply exp_0 |].
  rewrite S_INR. replace ((INR k + 1) * x) with (x + INR k * x) by ring.
  rewrite exp_plus, IH. reflexivity.
Qed.

Lemma inverse_exp : forall x y, x = - y -> exp x = / exp y.
Proof. intros x y ->. apply exp_Ropp. Qed.

Lemma exp_less_times : forall k x, exp (- (INR k * x)) = (/ exp x) ^ k.
Proof. intros k x. rewrite exp_Ropp, exp_times. apply inverse_power. Qed.

Lemma sel_b2r : forall c x y, sel c x y = b2r c * x + (1 - b2r c) * y.
Proof. intros [] x y; simpl; ring. Qed.

Lemma b2r_and : forall a b, b2r (andb a b) = b2r a * b2r b.
Proof. intros [] []; simpl; ring. Qed.

Lemma b2r_or : forall a b, b2r (orb a b) = 1 - (1 - b2r a) * (1 - b2r b).
Proof. intros [] []; simpl; ring. Qed.

Lemma b2r_not : forall a, b2r (negb a) = 1 - b2r a.
Proof. intros []; simpl; ring. Qed.

Lemma eqb_turned : forall p q : Z, (p = - q)%Z -> (p =? 0)%Z = (q =? 0)%Z.
Proof. intros p q H. destruct (Z.eqb_spec p 0), (Z.eqb_spec q 0); lia. Qed.

Global Opaque sum.

(* Under a sum. *)
Ltac ext i := apply sum_ext; let H := fresh "H" i in intros i H; cbv beta.


(* Two neighbouring sums exchanged, with d sums around them. *)
Ltac swap_under d :=
  lazymatch d with
  | O => apply sum_swap
  | S ?d => apply sum_ext; let i := fresh "i" in let H := fresh "H" in intros i H; cbv beta; swap_under d
  end.
Ltac exchange d := eapply eq_trans; [swap_under d |]; cbv beta.

Ltac push_izr := repeat first [rewrite plus_IZR | rewrite mult_IZR | rewrite opp_IZR].
Ltac push_inr := rewrite INR_IZR_INZ; simpl Z.of_nat.
Ltac bools := repeat first [rewrite b2r_and | rewrite b2r_or | rewrite b2r_not].
Ltac inverse := rewrite ?Rinv_mult, ?inverse_power, ?Rinv_inv.
Ltac not_negative := first [lia | nia].

(* Inverses as unknowns: an identity that needs no cancelling holds at every point. *)
Ltac hide :=
  repeat match goal with
  | |- context [/ ?x] =>
      lazymatch x with
      | IZR (Zpos _) => fail
      | IZR (Zneg _) => fail
      | _ => let y := fresh "y" in set (y := / x); clearbody y
      end
  end.

Ltac cases :=
  repeat match goal with
  | |- context [b2r ?c] => lazymatch c with true => fail | false => fail | _ => destruct c end
  end; unfold b2r.

(* What a denominator must not be is a hypothesis; an exponential is never 0. *)
Ltac side := repeat split; first [apply exp_neq_0 | assumption | solve [auto] | lra].

(* One way to write each position: what differs by the order of a polynomial's terms alone is made the same. *)
Ltac align_here :=
  repeat match goal with
  | |- context [(?p =? 0)%Z] =>
      match goal with |- context [(?q =? 0)%Z] => tryif constr_eq p q then fail else first
        [ replace q with p by ring | replace (q =? 0)%Z with (p =? 0)%Z by (apply eqb_turned; ring) ] end
  | |- context [(0 <=? ?p)%Z] =>
      match goal with |- context [(0 <=? ?q)%Z] => tryif constr_eq p q then fail else replace q with p by ring end
  | |- context [?f ?p] =>
      lazymatch type of p with
      | Z => match goal with |- context [f ?q] => tryif constr_eq p q then fail else replace q with p by ring end
      | _ => fail
      end
  end.

(* The same under binders: functions of an index that are the same at every one. *)
Ltac align :=
  align_here;
  repeat match goal with
  | |- context [sum ?n ?f] =>
      match goal with
      | |- context [sum n ?g] =>
          tryif constr_eq f g then fail else
            replace (sum n g) with (sum n f) by (apply sum_ext; intros; cbv beta; first [ring | align; ring])
      end
  | |- context [?h ?n ?c ?f] =>
      lazymatch type of h with
      | Z -> (Z -> bool) -> (Z -> R) -> R =>
          match goal with
          | |- context [h n ?d ?g] =>
              tryif (constr_eq c d; constr_eq f g) then fail else
                replace (h n d g) with (h n c f)
                  by (f_equal; apply functional_extensionality; intros; first [reflexivity | align; first [reflexivity | ring]])
          end
      | _ => fail
      end
  end.

(* Inverses of the same, whatever the order of its terms. *)
Ltac inverses :=
  repeat match goal with
  | |- context [/ ?x] =>
      match goal with |- context [/ ?y] => tryif constr_eq x y then fail else replace (/ y) with (/ x) by (apply f_equal; ring) end
  end.

Ltac alg := first
  [ reflexivity | ring | solve [hide; field]
  | solve [align; first [ring | inverses; hide; field]]
  | solve [field; side] | solve [align; field; side]
  | solve [hide; cases; field] | solve [cases; field; side] ].

(* Quotients by what is positive: their defining inequalities, and each length that they are below. *)
Ltac known_once := repeat match goal with H : _ /\ _ |- _ => destruct H | H : ?x, G : ?x |- _ => clear G end.
Ltac lengths a b :=
  repeat match goal with
  | c : Z |- _ =>
      lazymatch goal with
      | _ : (a / b < c)%Z |- _ => fail
      | _ => assert (a / b < c)%Z by (apply Z.div_lt_upper_bound; lia)
      end
  end.
Ltac quotients :=
  repeat match goal with
  | |- context [(?a / ?b)%Z] =>
      assert (0 < b)%Z by lia; try assert (0 <= a / b)%Z by (apply Z.div_pos; lia); lengths a b;
      pose proof (Z.mul_div_le a b ltac:(lia)); pose proof (Z.mul_succ_div_gt a b ltac:(lia));
      let q := fresh "q" in set (q := (a / b)%Z) in *; clearbody q
  end.
Ltac lia_or_nia := first
  [ lia
  | solve [known_once; repeat split; quotients; nia]
  | Z.to_euclidean_division_equations; first [lia | nia] ].
