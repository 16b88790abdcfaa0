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

Definition log (x : R) : R := ln (Rabs x).

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

Lemma rlt_spec : forall x y, BoolSpec (x < y) (y <= x) (rlt x y).
Proof. intros x y. unfold rlt. destruct (Rlt_dec x y); constructor; lra. Qed.

Lemma root_spec : forall x, BoolSpec (0 < sqrt x) (/ sqrt x = 0) (rlt 0 (sqrt x)).
Proof.
  intro x. destruct (rlt_spec 0 (sqrt x)) as [H | H]; constructor; [exact H |].
  replace (sqrt x) with 0 by (pose proof (sqrt_pos x); lra). apply Rinv_0.
Qed.

Lemma rlt_true : forall x, 0 < x -> b2r (rlt 0 x) = 1.
Proof. intros x H. destruct (rlt_spec 0 x); [reflexivity | lra]. Qed.

Lemma rlt_false : forall x, x <= 0 -> b2r (rlt 0 x) = 0.
Proof. intros x H. destruct (rlt_spec 0 x); [lra | reflexivity]. Qed.

Lemma rlt_scaled : forall a b d k, 0 < k -> d = k * (b - a) -> b2r (rlt a b) = b2r (rlt 0 d).
Proof.
  intros a b d k P ->. pose proof (Rmult_lt_compat_l k 0 (b - a) P) as U. rewrite Rmult_0_r in U.
  destruct (rlt_spec a b), (rlt_spec 0 (k * (b - a))); try reflexivity; [lra |].
  enough (k * (b - a) <= k * 0) by lra. apply Rmult_le_compat_l; lra.
Qed.

Lemma req_self : forall a b, a = b -> b2r (req a b) = 1.
Proof. intros a b H. unfold req. destruct (Req_EM_T a b); [reflexivity | contradiction]. Qed.

Lemma req_scaled : forall a b d e k, 0 < k -> d = k * (b - a) -> e = k * (a - b) ->
  b2r (req a b) = 1 - b2r (rlt 0 d) - b2r (rlt 0 e).
Proof.
  intros a b d e k P D E. rewrite <- (rlt_scaled a b d k P D), <- (rlt_scaled b a e k P E).
  unfold req. destruct (Req_EM_T a b), (rlt_spec a b), (rlt_spec b a); unfold b2r; lra.
Qed.

Lemma no_tie : forall d e, e = - d -> e <> 0 -> b2r (rlt 0 d) = 1 - b2r (rlt 0 e).
Proof. intros d e -> H. destruct (rlt_spec 0 d), (rlt_spec 0 (- d)); unfold b2r; lra. Qed.

Lemma b2r_split : forall c (f : R -> R), f (b2r c) = b2r c * f 1 + (1 - b2r c) * f 0.
Proof. intros [] f; simpl; ring. Qed.

Lemma exp_when : forall c x, c = 0 \/ c = 1 -> exp (c * x) = 1 - c + c * exp x.
Proof. intros c x [-> | ->]; [rewrite Rmult_0_l, exp_0; ring | rewrite Rmult_1_l; ring]. Qed.

Lemma exp_log : forall l x, l = log x -> 0 < x -> exp l = x.
Proof. intros l x -> H. unfold log. rewrite Rabs_pos_eq by lra. apply exp_ln, H. Qed.

Lemma log_product : forall c s t, 0 < c -> 0 < t -> log (c * exp s * t) = log c + s + log t.
Proof.
  intros c s t C T. pose proof (exp_pos s) as E. unfold log.
  rewrite !Rabs_pos_eq; try lra; [| apply Rlt_le; repeat apply Rmult_lt_0_compat; assumption].
  rewrite !ln_mult by (try apply Rmult_lt_0_compat; assumption). rewrite ln_exp. ring.
Qed.

Lemma log_quotient : forall p q, 0 < p -> 0 < q -> log (p * / q) = log p - log q.
Proof.
  intros p q P Q. pose proof (Rinv_0_lt_compat q Q). unfold log.
  rewrite !Rabs_pos_eq; try lra; [| apply Rlt_le, Rmult_lt_0_compat; assumption].
  rewrite ln_mult, ln_Rinv by assumption. ring.
Qed.

Lemma log_one : forall x, x = 1 -> log x = 0.
Proof. intros x ->. unfold log. rewrite Rabs_pos_eq by lra. apply ln_1. Qed.

Lemma ln_zero : forall x, x <= 0 -> ln x = 0.
Proof. intros x H. unfold ln. destruct (Rlt_dec 0 x); [exfalso; lra | reflexivity]. Qed.

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

(* Every condition both ways; what can't be together contradicts itself, and the inverse of 0 is 0. *)
Ltac cases :=
  repeat match goal with
  | |- context [b2r ?c] =>
      lazymatch c with
      | true => fail
      | false => fail
      | rlt 0 (sqrt ?x) => destruct (root_spec x)
      | rlt ?x ?y => destruct (rlt_spec x y)
      | _ => destruct c
      end
  end; unfold b2r; repeat match goal with H : / _ = 0 |- _ => rewrite H; clear H end.
Ltac bit := cases; first [left; ring | right; ring | exfalso; lra].

(* What is above 0, or is not: by its terms. *)
Ltac positive :=
  lazymatch goal with
  | |- 0 < _ + _ => first [apply Rplus_lt_0_compat; positive | apply Rplus_lt_le_0_compat; [positive | not_below]
                          | apply Rplus_le_lt_0_compat; [not_below | positive]]
  | |- 0 < _ * _ => apply Rmult_lt_0_compat; positive
  | |- 0 < / _ => apply Rinv_0_lt_compat; positive
  | |- 0 < _ ^ _ => apply pow_lt; positive
  | |- 0 < exp _ => apply exp_pos
  | |- _ => first [assumption | lra]
  end
with not_below :=
  lazymatch goal with
  | |- 0 <= _ + _ => apply Rplus_le_le_0_compat; not_below
  | |- 0 <= _ * _ => apply Rmult_le_pos; not_below
  | |- 0 <= _ ^ 2 => apply pow2_ge_0
  | |- 0 <= sqrt _ => apply sqrt_pos
  | |- 0 <= b2r ?c => destruct c; simpl; lra
  | |- _ => first [lra | apply Rlt_le; positive]
  end.
Ltac sign := first
  [ assumption | solve [auto] | positive
  | repeat match goal with |- context [sqrt ?x] => pose proof (sqrt_pos x); let y := fresh in set (y := sqrt x) in *; clearbody y end; lra ].

(* What a denominator must not be is a hypothesis; an exponential is never 0. *)
Ltac side := repeat split; first [apply exp_neq_0 | assumption | solve [auto] | lra | apply Rgt_not_eq; positive].

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

(* What is not 0 by a hypothesis, in other words; of which the bits are known, too. *)
Ltac turned := repeat match goal with H : ?x <> 0 |- _ => lazymatch x with context [rlt _ _] => revert H end end.
Ltac beside := repeat split; first
  [ solve [side] | let E := fresh in intro E; match goal with H : ?x <> 0 |- _ => apply H; lra end ].

Ltac alg := first
  [ reflexivity | ring | solve [hide; field]
  | solve [align; first [ring | inverses; hide; field]]
  | solve [field; side] | solve [align; field; side]
  | solve [cases; hide; first [ring | exfalso; lra | field]]
  | solve [cases; first [field; side | exfalso; lra]]
  | solve [turned; cases; intros; first [field; beside | exfalso; lra]] ].

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
